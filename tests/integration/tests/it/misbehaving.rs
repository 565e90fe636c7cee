//! Clients, servers and settings that misbehave: whoever can act on it is told, nothing else stops.

mod broken_clients;
mod broken_servers;
mod hostile_servers;
mod noise;
mod settings;
mod under_fire;
mod vanishing;
