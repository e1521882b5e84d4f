//! Floor 4: the container runtime, its keeper, and images
