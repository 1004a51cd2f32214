# The main job, as the design has it: a superuser makes the extension, the owner of an ordinary table does the rest,
# and a role that
# holds nothing but a grant receives rows.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('main');

value($node, undef, <<'EOC');
CREATE ROLE clerk LOGIN;
CREATE ROLE guest LOGIN;
CREATE ROLE stranger LOGIN;
GRANT CREATE ON SCHEMA public TO clerk;
EOC

value($node, 'clerk', <<'EOC');
CREATE TYPE degree AS ENUM ('none', 'school', 'bachelor', 'master', 'doctor');
CREATE TABLE adult (
  id bigint PRIMARY KEY,
  age int NOT NULL CHECK (age BETWEEN 17 AND 90),
  sex text NOT NULL CHECK (sex IN ('Female', 'Male')),
  workclass text,
  education degree NOT NULL,
  married boolean,
  gain numeric(9,2) CHECK (gain >= 0),
  weight double precision,
  hours smallint NOT NULL CHECK (hours >= 1 AND hours <= 99),
  hired date,
  seen timestamptz,
  income char(5) NOT NULL CHECK (income = ANY (ARRAY['<=50K', '>50K']))
);
INSERT INTO adult
SELECT i, a, CASE WHEN h % 3 = 0 THEN 'Female' ELSE 'Male' END,
       (ARRAY['Private', 'Private', 'Private', 'Self-emp', 'State-gov', NULL])[1 + h % 6],
       (ARRAY['none', 'school', 'bachelor', 'master', 'doctor']::degree[])[1 + LEAST(a / 20, 4)],
       CASE WHEN h % 11 > 0 THEN a > 30 END,
       CASE WHEN h % 10 = 0 THEN (h % 90000)::numeric / 7 ELSE 0 END,
       40 + (h % 600)::float8 / 10, 1 + (h / 7) % 80, DATE '1990-01-01' + (h % 9000),
       TIMESTAMPTZ '2020-01-01 00:00+00' + make_interval(mins => h % 500000),
       CASE WHEN a > 45 THEN '>50K' ELSE '<=50K' END
FROM (SELECT i, 17 + abs(hashint4(i)) % 74 AS a, abs(hashint4(i + 100000)) AS h FROM generate_series(1, 6000) i) s;
EOC

# -- as written in the design, by the owner
is(quietly($node, 'clerk', "SELECT dp_protect('adult', epsilon => 10)", 'the owner protects a table'), 'adult',
	'its budget is called as regclass prints it');
is(value($node, 'clerk', "SELECT count(*) FROM dp_describe('adult')"), '12', 'every column is described');
cmp_ok(value($node, 'clerk', "SELECT count(*) FROM dp_plan('adult', epsilon => 1)"), '>', 12,
	'a plan shows its measurements');
is(charges($node, 'adult'), '', 'a plan costs nothing');

my ($rc, $out, $err) = run_as($node, 'clerk', "SELECT dp_train('adult_v1', 'adult', epsilon => 1)");
is($rc, 0, 'the owner trains') or diag($err);
my $job = $out;
like($job, qr/^\d+$/, 'and gets the number of a job');
like($err, qr/NOTICE:\s+00000: job $job: (charged|reading|learning the domain|measuring columns) \(\d+%\)/,
	'progress is shown while it waits');
like($err, qr/NOTICE:\s+00000: job $job: storing \(100%\)/, 'to the end');
is(job_state($node, $job), 'done', 'the job is done');
is(charges($node, 'adult'), 'adult_v1:spent', 'the charge is spent');
is(value($node, 'clerk', "SELECT name, relation, method, owner, epsilon, state FROM dp_models"),
	'adult_v1|public.adult|aim|clerk|1|ready', 'the model is there');

# -- rows, in every form
is(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize_as(NULL::adult, 'adult_v1', 1000)"), '1000', 'typed rows');
is(value($node, 'clerk', "SELECT count(*) FROM (SELECT dp_synthesize('adult_v1', 5)) s"), '5',
	'records in the select list');
is(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize('adult_v1', 5) AS t(age int, sex text) WHERE age "
	  . "BETWEEN 17 AND 90"
	  . " AND sex IN ('Female', 'Male')"), '5', 'a column definition list');
is(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize('adult_v1', 7) AS t(income text, age numeric)"), '7',
	'columns by name, in any order, with casts');
is(value($node, 'clerk', "SELECT count(*) FROM (SELECT dp_synthesize('adult_v1', 1000000) LIMIT 2) s"), '2',
	'the select list streams');
cmp_ok(abs(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize_as(NULL::adult, 'adult_v1')") - 6000), '<', 600,
	'without n the number of rows is near the table\'s');
my $copy = value($node, 'clerk', "COPY (SELECT * FROM dp_synthesize_as(NULL::adult, 'adult_v1', 2000)) TO STDOUT CSV");
is(scalar(split(/\n/, $copy)), 2000, 'COPY gives as many lines as were asked for');
quietly($node, 'clerk', <<'EOC', 'synthetic rows satisfy every constraint of the table');
CREATE TABLE copy_of_adult (LIKE adult INCLUDING ALL);
INSERT INTO copy_of_adult SELECT * FROM dp_synthesize_as(NULL::adult, 'adult_v1', 3000);
EOC
is(value($node, 'clerk', "SELECT count(DISTINCT id) FROM copy_of_adult"), '3000', 'identifiers are fresh and distinct');
cmp_ok(value($node, 'clerk', "SELECT avg((age >= 78)::int) FROM copy_of_adult WHERE education = 'doctor'"), '>', 0.7,
	'two columns that depend on each other still do');
cmp_ok(value($node, 'clerk', "SELECT abs(avg((income = '>50K')::int) - (SELECT avg((income = '>50K')::int) FROM "
	  . "adult)) "
	  . "FROM copy_of_adult"), '<', 0.1, 'a share of the population is about right');
is(value($node, 'clerk', "SELECT (SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20, "
	  . "seed => 7) t)"
	  . " = (SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20, seed => 7) t)"),
	't', 'a given seed repeats');
is(value($node, 'clerk', "SELECT (SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20) t)"
	  . " = (SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20) t)"),
	'f', 'without one every issuance is fresh');
is(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize_as(NULL::adult, 'adult_v1', 0)"), '0',
	'no rows, when none are asked for');

# -- a role that holds a grant and nothing else
refused($node, 'guest', "SELECT * FROM adult", '42501', undef, 'the guest may not read the table');
refused($node, 'guest', "SELECT dp_synthesize('adult_v1', 5)", '42501', qr/HINT/,
	'nor rows of the model, without a grant');
quietly($node, 'clerk', "SELECT dp_grant('adult_v1', 'guest')", 'the owner grants the model');
is(value($node, 'guest', "SELECT count(*) FROM dp_synthesize_as(NULL::adult, 'adult_v1', 50)"), '50',
	'typed rows for the guest');
is(value($node, 'guest', "SELECT count(*) FROM dp_synthesize('adult_v1', 50) AS t(age int, sex text)"), '50',
	'and by definition list');
is(value($node, 'guest', "SELECT count(*) FROM (SELECT dp_synthesize('adult_v1', 50)) s"), '50', 'and as records');
is(scalar(split(/\n/, value($node, 'guest', "COPY (SELECT * FROM dp_synthesize_as(NULL::adult, 'adult_v1', 60)) TO "
	  . "STDOUT CSV"))),
	60, 'and by COPY');
isnt(value($node, 'clerk', "SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20, seed "
	  . "=> 7) t"),
	value($node, 'guest', "SELECT string_agg(t::text, ';') FROM dp_synthesize_as(NULL::adult, 'adult_v1', 20, seed "
		  . "=> 7) t"),
	'the same seed gives another recipient other rows');
is(value($node, 'guest', "SELECT name FROM dp_models"), 'adult_v1', 'the guest sees the model');
is(value($node, 'guest', "SELECT count(*) FROM dp_ledger"), '0', 'but no charges');
is(value($node, 'stranger', "SELECT count(*) FROM dp_models"), '0', 'a stranger sees nothing');
refused($node, 'stranger', "SELECT dp_synthesize('adult_v1', 5)", '42501', undef, 'and gets nothing');
quietly($node, 'clerk', "SELECT dp_revoke('adult_v1', 'guest')", 'the owner revokes the grant');
refused($node, 'guest', "SELECT dp_synthesize('adult_v1', 5)", '42501', undef, 'which counts at once');
quietly($node, 'clerk', "SELECT dp_grant('adult_v1', 'guest', valid_until => now() + interval '1 hour')",
	'a grant for an hour');
is(value($node, 'guest', "SELECT count(*) FROM dp_synthesize('adult_v1', 1) AS t(age int)"), '1', 'is good for now');
refused($node, 'clerk', "SELECT dp_grant('adult_v1', 'guest', valid_until => now() - interval '1 second')", '22023',
	undef,
	'one into the past is refused');
quietly($node, 'clerk', "SELECT dp_grant('adult_v1', 'guest', valid_until => clock_timestamp() + interval '100 ms')",
	'a short one');
await($node, "SELECT clock_timestamp() > valid_until FROM mirage.model_grant");
refused($node, 'guest', "SELECT dp_synthesize('adult_v1', 5)", '42501', undef, 'runs out');

# -- without waiting
$job = value($node, 'clerk', "SELECT dp_train('adult_v2', 'adult', method => 'independent', epsilon => 0.5, wait => "
	  . "false)");
is(value($node, 'clerk', "SELECT dp_wait($job)"), 'done', 'dp_wait sees the end of a job');
is(value($node, 'clerk', "SELECT state, phase, fraction, error FROM dp_jobs WHERE id = $job"), 'done||1|',
	'dp_jobs shows it');
is(value($node, 'clerk', "SELECT dp_wait($job, interval '1 ms')"), 'done', 'waiting for what has ended is no wait');
is(value($node, 'clerk', "SELECT dp_cancel($job)"), 'f', 'and cancelling it is nothing');
refused($node, 'stranger', "SELECT dp_wait($job)", '42501', undef, 'a job is nobody else\'s to wait for');
refused($node, 'stranger', "SELECT dp_cancel($job)", '42501', undef, 'or to cancel');
refused($node, 'clerk', "SELECT dp_wait(4242)", '42704', undef, 'a job that never was');

# -- while it runs
make_gate($node);
my $gate = hold_gate($node);
$job = train_gated($node, 'g1');
is(value($node, undef, "SELECT state, phase, eta IS NULL, error IS NULL FROM dp_jobs WHERE id = $job"),
	'running|reading|t|t',
	'a running job shows its phase');
is(value($node, undef, "SELECT dp_wait($job, interval '20 ms')"), 'running', 'dp_wait with a timeout');
is(value($node, undef, "SELECT dp_cancel($job)"), 't', 'dp_cancel');
is(value($node, undef, "SELECT dp_wait($job)"), 'cancelled', 'ends it');
is(charges($node, 'gated'), 'g1:spent', 'the charge stands: it had read');
$gate->close;
can_train($node, undef, 'g1', 'gated_v', 'the name of a model that was never made is free');

# -- dropped, and made again
quietly($node, 'clerk', "SELECT dp_drop_model('adult_v2')", 'a model is dropped');
refused($node, 'clerk', "SELECT dp_synthesize('adult_v2', 1)", '42704', undef, 'and gone');
is(value($node, undef, "SELECT count(*) FROM mirage.wrapped_key k WHERE purpose = 'model' AND NOT EXISTS "
	  . "(SELECT FROM mirage.model m WHERE m.id = k.model)"), '0', 'with its key');
can_train($node, 'clerk', 'adult_v2', 'adult', 'its name is free');
like(charges($node, 'adult'), qr/^adult_v1:spent, adult_v2:spent, adult_v2:spent$/, 'dropping it refunded nothing');

# -- a table of one row, and none: they train and charge like any other
value($node, 'clerk', "CREATE TABLE nobody (a int, b text); CREATE TABLE one AS SELECT 1 AS a, 'x'::text AS b;"
	  . "SELECT dp_protect('nobody', epsilon => 1); SELECT dp_protect('one', epsilon => 1)");
for my $t ('nobody', 'one')
{
	can_train($node, 'clerk', "${t}_v1", $t, "table $t trains", epsilon => 0.5);
	is(charges($node, $t), "${t}_v1:spent", "and charges");
	is(value($node, 'clerk', "SELECT count(*) FROM dp_synthesize('${t}_v1', 10) AS t(a int, b text)"), '10',
		'and gives rows');
}
audit_ok($node, 'the log is whole');
$node->stop;
done_testing();
