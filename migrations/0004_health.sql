-- Health: what was measured of the platform's components, for a while.

create table performance_metrics (
  -- '' for the platform as a whole, the only samples there are yet: no caller can have that name.
  tenant text collate "C" not null,
  component text collate "C" not null,
  -- To the millisecond.
  sampled_at timestamptz(3) not null,
  status text collate "C" not null check (status in ('unhealthy', 'degraded', 'healthy')),
  latency_ms double precision not null check (latency_ms >= 0),
  message text not null,
  metadata jsonb not null default '{}',
  primary key (tenant, component, sampled_at)
);

-- For reading all components newest first, and for deleting what is too old.
create index performance_metrics_recent
  on performance_metrics (tenant, sampled_at desc, component);
