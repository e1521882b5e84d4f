//! Floor 4: the kubelet
