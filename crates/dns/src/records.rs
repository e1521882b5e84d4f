//! What the zone answers from: services and slices by the names and addresses that are asked for. Backed by the informers' caches.
use client::{Cache, Informer, Informers};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::meta::Key;
use std::net::IpAddr;
use std::sync::Arc;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const BY_SERVICE: &str = "service";
const BY_ADDRESS: &str = "address";
const BY_NAMESPACE: &str = "namespace";

/// Reads that the zone makes; each is a lookup.
pub trait Records {
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>>;
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>>;
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>>;
    /// Is there any service in the namespace? (An empty name between names exists, RFC 8020.)
    fn has_services(&self, namespace: &str) -> bool;
}

/// The caches of one process.
pub struct Caches {
    services: Arc<Informer<Service>>,
    slices: Arc<Informer<EndpointSlice>>,
}

impl Caches {
    pub fn new(informers: &Informers) -> Caches {
        let caches = Caches { services: informers.of(), slices: informers.of() };
        caches.services.cache.add_index(BY_ADDRESS, addresses_of);
        caches.services.cache.add_index(BY_NAMESPACE, |service| service.metadata.namespace.clone().into_iter().collect());
        caches.slices.cache.add_index(BY_SERVICE, |slice| service_of(slice).into_iter().collect());
        caches
            .slices
            .cache
            .add_index(BY_ADDRESS, |slice| slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect());
        caches
    }

    pub async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
    }
}

fn addresses_of(service: &Service) -> Vec<String> {
    let spec = service.spec.as_ref();
    let all = spec.and_then(|spec| spec.cluster_ips.clone()).unwrap_or_default();
    all.into_iter().filter(|ip| ip != "None").collect()
}

fn service_of(slice: &EndpointSlice) -> Option<String> {
    let name = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(Key::new(slice.metadata.namespace.clone().unwrap_or_default(), name).to_string())
}

impl Records for Caches {
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.cache.get(&Key::new(namespace, name))
    }
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.cache.by_index(BY_SERVICE, &Key::new(namespace, service).to_string())
    }
    fn services_at(&self, address: IpAddr) -> Vec<Arc<Service>> {
        self.services.cache.by_index(BY_ADDRESS, &address.to_string())
    }
    fn slices_at(&self, address: IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices.cache.by_index(BY_ADDRESS, &address.to_string())
    }
    fn has_services(&self, namespace: &str) -> bool {
        !is_empty_in(&self.services.cache, namespace)
    }
}

fn is_empty_in(cache: &Cache<Service>, namespace: &str) -> bool {
    cache.by_index(BY_NAMESPACE, namespace).is_empty()
}
