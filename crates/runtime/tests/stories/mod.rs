//! The stories, one function each.
pub mod bench;
mod confined;
mod images;
mod life;
mod restart;
mod streams;
pub mod world;

macro_rules! stories {
    ($($module:ident: $($name:ident)*;)*) => {
        pub const ALL: &[(&str, fn())] = &[$($((stringify!($name), || tell($module::$name()))),*),*];
    };
}

stories! {
    life: a_container_runs_and_ends a_program_that_is_not_there stopping_is_first_a_request processes_join_and_leave
        input_reaches_an_attached_container a_terminal_is_a_terminal logs_rotate ports_inside_the_pod sandboxes_go_with_their_containers
        streams_by_url the_lists_are_filtered events_are_told copied_layers_do_as_well images_are_mounted;
    confined: users_and_groups limits_are_kept memory_is_limited the_file_system_is_its_own system_calls_are_filtered
        namespaces_are_shared_as_asked a_shared_process_namespace volumes_are_mounted_as_asked;
    images: an_image_is_pulled a_missing_image_is_told;
    restart: the_daemon_may_be_killed the_keeper_may_be_lost;
    streams: an_attachment_ends_with_its_input a_program_ends_with_its_client
        a_terminal_takes_the_clients_size;
}

fn tell(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story);
}
