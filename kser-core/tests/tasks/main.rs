//! Messages, tasks and registries, as programs and transports use them.

mod life;
mod one_process;
mod outputs;
mod panics;
mod params;
mod registry;
mod retry;
mod salvage;
mod task_result;
mod wire_attack;
mod wire_properties;
mod wire_repeats;
