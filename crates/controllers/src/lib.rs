//! Floor 4: the controllers and the driver that carries out their plans
