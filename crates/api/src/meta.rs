//! ObjectMeta: what holds for the metadata of every object.
