//! The pod life cycle, pure: records, observations, the step, effects. The driver in `driver/` carries effects out.
pub mod delay;
pub mod effect;
pub mod observed;
pub mod probe;
pub mod record;
pub mod restart;
pub mod step;
pub mod view;
