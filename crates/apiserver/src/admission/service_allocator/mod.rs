//! Gives services their cluster IPs and node ports. What is taken follows from the services in the store, so it is released with
//! them; what a request got is kept for it a moment, until its service is stored. Dry runs take nothing.
mod families;
mod owned;
pub mod ranges;

use super::object::{edit, view};
use super::{Context, Step, about, writes};
use crate::follow::Follower;
use crate::request::{AdmissionRequest, Operation};
use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use machinery::errors::Errors;
use machinery::object::AnyObject;
use machinery::status::Status;
use owned::{Owned, Taken};
use ranges::{IpRange, PortRange};
use std::net::IpAddr;
use stdx::clock::Clock;
use stdx::random::Random;

/// Where addresses and ports come from. One range per family; the first is the default family's.
#[derive(Clone, Debug)]
pub struct Settings {
    pub cidrs: Vec<IpRange>,
    pub node_ports: PortRange,
}

impl Settings {
    /// From CIDRs such as `10.96.0.0/12`; the original's node ports.
    pub fn parse(cidrs: &[String]) -> Result<Settings, String> {
        let cidrs = cidrs.iter().map(|cidr| IpRange::parse(cidr)).collect::<Result<Vec<_>, _>>()?;
        let twice = cidrs.len() > 2 || (cidrs.len() == 2 && cidrs[0].family() == cidrs[1].family());
        if cidrs.is_empty() || twice {
            return Err("one service CIDR is needed, or two of different families".into());
        }
        Ok(Settings { cidrs, node_ports: PortRange { first: 30000, last: 32767 } })
    }
}

pub struct ServiceAllocator {
    settings: Settings,
    clock: Clock,
    random: Random,
    owned: Follower<Owned>,
}

impl ServiceAllocator {
    pub fn new(context: &Context, settings: Settings) -> ServiceAllocator {
        let owned = Follower::new(context.store.clone(), vec!["/registry/services/specs/".into()]);
        ServiceAllocator { settings, clock: context.clock.clone(), random: context.random.fork(), owned }
    }
}

#[async_trait]
impl Step for ServiceAllocator {
    fn name(&self) -> &'static str {
        "ServiceAllocator"
    }

    fn concerns(&self, request: &AdmissionRequest<'_>) -> bool {
        writes(request) && about(request, "", "services")
    }

    async fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Box<dyn AnyObject>) -> Result<(), Status> {
        let old = request.old.and_then(view::<Service>).and_then(|old| old.spec.clone());
        let old = old.as_ref();
        let meta = object.meta();
        let (name, namespace) = (meta.name.clone().unwrap_or_default(), &request.attributes.namespace);
        let owner = format!("/registry/services/specs/{namespace}/{name}");
        let (now, dry_run) = (self.clock.now(), request.dry_run());
        let Some(mut service) = view::<Service>(&**object).map(|service| service.into_owned()) else { return Ok(()) };
        let spec = service.spec.get_or_insert_default();
        let fresh = request.operation == Operation::Create;
        prepare(spec, if fresh { None } else { old });
        if families::malformed(spec) {
            return Ok(());
        }
        families::complete(spec, old, &self.settings.cidrs, &name)?;
        let work = |owned: &mut Owned| {
            let mut work = Work { settings: &self.settings, random: &self.random, owned, owner: &owner, now, dry_run, name: &name };
            work.addresses(spec, old)?;
            work.ports(spec, old)
        };
        let result = self.owned.write(work).await.map_err(Status::internal)?;
        if result.is_err() {
            self.owned.write(|owned| owned.give_back(&owner)).await.map_err(Status::internal)?;
        }
        result?;
        edit::<Service>(object, |found| {
            *found = service;
            Ok(())
        })
    }
}

/// What one request does, while nobody else does.
struct Work<'a> {
    settings: &'a Settings,
    random: &'a Random,
    owned: &'a mut Owned,
    owner: &'a str,
    now: Timestamp,
    dry_run: bool,
    name: &'a str,
}

impl Work<'_> {
    fn addresses(&mut self, spec: &mut ServiceSpec, old: Option<&ServiceSpec>) -> Result<(), Status> {
        let headless = spec.cluster_ips.as_ref().and_then(|all| all.first()).is_some_and(|ip| ip == "None");
        if type_of(spec) == "ExternalName" || headless {
            return Ok(());
        }
        let families = spec.ip_families.clone().unwrap_or_default();
        let mut ips = spec.cluster_ips.clone().unwrap_or_default();
        let kept = old.filter(|old| type_of(old) != "ExternalName").and_then(|old| old.cluster_ips.clone()).unwrap_or_default();
        for (index, family) in families.iter().enumerate() {
            if ips.len() <= index {
                ips.push(String::new());
            }
            if !ips[index].is_empty() && kept.get(index) == Some(&ips[index]) {
                continue;
            }
            // The first address of a service never changes: validation says so.
            if index == 0 && !kept.is_empty() {
                continue;
            }
            let Some(range) = self.settings.cidrs.iter().find(|range| range.family() == family) else { continue };
            ips[index] = self.address(range, &ips)?;
        }
        spec.cluster_ip = ips.first().cloned();
        spec.cluster_ips = Some(ips);
        Ok(())
    }

    /// The address asked for in the last of `ips` that belongs to the range's family, or any free one.
    fn address(&mut self, range: &IpRange, ips: &[String]) -> Result<String, Status> {
        let asked = ips.iter().find(|ip| ip.parse().is_ok_and(|ip: IpAddr| range.is_of_family(&ip)));
        let Some(asked) = asked else {
            let free = range.pick(self.random, |ip| self.owned.is_free(&Taken::Ip(*ip), self.owner, self.now));
            let ip =
                free.ok_or_else(|| Status::internal(format!("failed to allocate a serviceIP for Service {:?}: range is full", self.name)))?;
            self.take(Taken::Ip(ip));
            return Ok(ip.to_string());
        };
        let refused = |why: String| {
            let mut errors = Errors::default();
            errors.invalid("spec.clusterIPs", ips, &format!("failed to allocate IP {asked}: {why}"));
            errors.into_result("", "Service", self.name).expect_err("there is an error")
        };
        let ip: IpAddr = asked.parse().map_err(|_| Status::internal(format!("failed to parse service IP {asked:?}")))?;
        if !range.contains(&ip) {
            return Err(refused(format!(
                "the provided IP ({asked}) is not in the valid range. The range of valid IPs is {}",
                range.text()
            )));
        }
        if !self.owned.is_free(&Taken::Ip(ip), self.owner, self.now) {
            return Err(refused("provided IP is already allocated".into()));
        }
        self.take(Taken::Ip(ip));
        Ok(asked.clone())
    }

    fn ports(&mut self, spec: &mut ServiceSpec, old: Option<&ServiceSpec>) -> Result<(), Status> {
        if matches!(type_of(spec), "NodePort" | "LoadBalancer") {
            let assign = spec.allocate_load_balancer_node_ports.unwrap_or(true) || type_of(spec) == "NodePort";
            let mut ports = spec.ports.take().unwrap_or_default();
            self.node_ports(&mut ports, old, assign)?;
            spec.ports = Some(ports);
        }
        let had = old.filter(|old| needs_health_check(old)).and_then(|old| old.health_check_node_port).unwrap_or(0);
        if needs_health_check(spec) && had == 0 {
            let asked = spec.health_check_node_port.unwrap_or(0);
            let port = match asked {
                0 => self.any_port().map_err(|why| Status::internal(format!("failed to allocate a HealthCheck NodePort 0: {why}")))?,
                _ => self
                    .this_port(asked)
                    .map_err(|why| Status::internal(format!("failed to allocate requested HealthCheck NodePort {asked}: {why}")))?,
            };
            spec.health_check_node_port = Some(port);
        }
        Ok(())
    }

    fn node_ports(&mut self, ports: &mut [ServicePort], old: Option<&ServiceSpec>, assign: bool) -> Result<(), Status> {
        let had: Vec<i32> = old.into_iter().flat_map(|old| old.ports.iter().flatten()).filter_map(|port| port.node_port).collect();
        for index in 0..ports.len() {
            // Ports of the same number (TCP and UDP) share a node port, also one that is asked for further down.
            let same = ports.iter().filter(|other| other.port == ports[index].port && old.is_none());
            let shared = same.filter_map(|other| other.node_port).find(|port| *port != 0);
            let asked = ports[index].node_port.filter(|port| *port != 0).or(shared.filter(|_| assign));
            let before = ports[..index].iter().any(|other| asked.is_some() && other.node_port == asked);
            match asked {
                Some(port) if had.contains(&port) || before => ports[index].node_port = Some(port),
                Some(port) => {
                    let refused = |why: String| {
                        let mut errors = Errors::default();
                        errors.invalid(&format!("spec.ports[{index}].nodePort"), port, &why);
                        errors.into_result("", "Service", self.name).expect_err("there is an error")
                    };
                    let taken = self.this_port(port);
                    ports[index].node_port = Some(taken.map_err(refused)?);
                }
                None if assign => {
                    let port = self.any_port().map_err(|why| Status::internal(format!("failed to allocate a nodePort: {why}")))?;
                    ports[index].node_port = Some(port);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn this_port(&mut self, port: i32) -> Result<i32, String> {
        let range = self.settings.node_ports;
        let inside = u16::try_from(port).ok().filter(|port| range.contains(*port));
        let taken = Taken::Port(inside.ok_or_else(|| {
            format!("provided port is not in the valid range. The range of valid ports is {}-{}", range.first, range.last)
        })?);
        if !self.owned.is_free(&taken, self.owner, self.now) {
            return Err("provided port is already allocated".into());
        }
        self.take(taken);
        Ok(port)
    }

    fn any_port(&mut self) -> Result<i32, String> {
        let free = self.settings.node_ports.pick(self.random, |port| self.owned.is_unused(&Taken::Port(port), self.now));
        let port = free.ok_or("range is full")?;
        self.take(Taken::Port(port));
        Ok(port.into())
    }

    fn take(&mut self, taken: Taken) {
        if !self.dry_run {
            self.owned.reserve(taken, self.owner, self.now);
        }
    }
}

pub(crate) fn type_of(spec: &ServiceSpec) -> &str {
    spec.type_.as_deref().filter(|text| !text.is_empty()).unwrap_or("ClusterIP")
}

fn needs_health_check(spec: &ServiceSpec) -> bool {
    type_of(spec) == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local")
}

fn needs_node_ports(spec: &ServiceSpec) -> bool {
    type_of(spec) == "NodePort" || (type_of(spec) == "LoadBalancer" && spec.allocate_load_balancer_node_ports.unwrap_or(true))
}

/// Brings `clusterIP` and `clusterIPs` together, and gives back what a client left out that was given to the service before.
fn prepare(spec: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let empty = |ip: &Option<String>| ip.as_deref().unwrap_or_default().is_empty();
    let Some(old) = old else {
        if !empty(&spec.cluster_ip) && spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
            spec.cluster_ips = spec.cluster_ip.clone().map(|ip| vec![ip]);
        }
        return;
    };
    if type_of(spec) != "ExternalName" && type_of(old) != "ExternalName" {
        if empty(&spec.cluster_ip) {
            spec.cluster_ip = old.cluster_ip.clone();
        }
        if spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
            spec.cluster_ips = old.cluster_ips.clone();
        }
    }
    if needs_node_ports(spec) && needs_node_ports(old) {
        keep_node_ports(spec, old);
    }
    if needs_health_check(spec) && needs_health_check(old) && spec.health_check_node_port.unwrap_or(0) == 0 {
        spec.health_check_node_port = old.health_check_node_port;
    }
    if spec.cluster_ip != old.cluster_ip && spec.cluster_ips == old.cluster_ips {
        spec.cluster_ips = spec.cluster_ip.clone().filter(|ip| !ip.is_empty()).map(|ip| vec![ip]);
    }
}

/// By the ports' names, unless the number went to another port.
fn keep_node_ports(spec: &mut ServiceSpec, old: &ServiceSpec) {
    let given = |port: &ServicePort| port.node_port.filter(|port| *port != 0);
    let now: Vec<i32> = spec.ports.iter().flatten().filter_map(given).collect();
    for port in spec.ports.iter_mut().flatten().filter(|port| given(port).is_none()) {
        let before = old.ports.iter().flatten().rfind(|before| before.name == port.name).and_then(given);
        port.node_port = before.filter(|before| !now.contains(before));
    }
}
