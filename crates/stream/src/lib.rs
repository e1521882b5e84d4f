//! Floor 1: multiplexed streams over one connection: SPDY/3.1 frames, WebSocket channels (exec, attach, port-forward)
