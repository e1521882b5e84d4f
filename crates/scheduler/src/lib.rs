//! Floor 4: the scheduler
