//! Floor 1: keys, certificates, signing requests and kubeconfigs
