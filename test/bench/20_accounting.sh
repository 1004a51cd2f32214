#!/usr/bin/env bash
# The accountants (composition, calibration) and the noise for real vectors, without a server; and dp_compose with one.
set -euo pipefail
"$BENCH_PROGRAMS/bench_accounting"
psql -XqAt -v ON_ERROR_STOP=1 -c "CREATE EXTENSION IF NOT EXISTS pg_mirage"
echo
psql -Xq -v ON_ERROR_STOP=1 <<'S' | sed -n 's/^Time: /dp_compose of 50 events: /p'
\timing on
SELECT * FROM dp_compose((
  SELECT jsonb_agg(jsonb_build_object('mechanism', 'discrete_gaussian', 'sigma', 20 + i, 'count', i))
                          FROM generate_series(1, 50) i), 1e-9);
S
