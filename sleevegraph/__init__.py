"""Pure portfolio library: functions of frames and arrays, no I/O, no clock, no Dagster."""
