# Nothing refunds: a charge is committed before the first row is read, and neither ROLLBACK nor cancel nor a crash
# takes it back.
# Where a training must be hit in the middle, it is held at a gate while it reads (see Mirage.pm), or caught while it
# computes.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('refund');

value($node, undef, 'CREATE ROLE owner LOGIN; CREATE ROLE analyst LOGIN; GRANT CREATE ON SCHEMA public TO owner');
people($node, 'folk', 2000, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 6)");
make_gate($node, epsilon => 30);

# What must hold after every misfortune: the ledger says what we count here, the log is whole, a new training works.
my (@folk, @gated);
my $extra = 0;

sub all_well
{
	my ($what) = @_;

	is(charges($node, 'folk'), join(', ', @folk), "$what: the ledger of one table");
	is(charges($node, 'gated'), join(', ', @gated), "$what: the ledger of the other");
	audit_ok($node, "$what: the log is whole");
	$extra++;
	can_train($node, undef, "extra_$extra", 'gated', "$what: a new training works", epsilon => 0.1);
	push @gated, "extra_$extra:spent";
	refused($node, undef, "SELECT dp_train('beyond', 'gated', epsilon => 29.9)", '54000', qr/no room/,
		"$what: one beyond the limit is refused");
}

sub models
{
	my (@names) = @_;
	my $in = join(', ', map { "'$_'" } @names);

	return value($node, undef, "SELECT count(*) FROM dp_models WHERE name IN ($in)");
}

# ---------------------------------------------------------------- transactions

run_as($node, 'owner', "BEGIN; SELECT dp_train('rolled', 'folk', epsilon => 0.3); ROLLBACK");
push @folk, 'rolled:spent';
all_well('after ROLLBACK');
is(models('rolled'), '1', 'the model is there too');

run_as($node, 'owner', "BEGIN; SAVEPOINT s; SELECT dp_train('saved', 'folk', epsilon => 0.3); ROLLBACK TO s; SELECT "
	  . "1/0; COMMIT");
push @folk, 'saved:spent';
all_well('after ROLLBACK TO and an error');

refused($node, 'owner', "DO \$\$ BEGIN PERFORM dp_train('done', 'folk', epsilon => 0.3); RAISE EXCEPTION 'regret'; "
	  . "END \$\$",
	'P0001', qr/regret/, 'a DO block that ends in an exception');
push @folk, 'done:spent';
all_well('after a DO block');

quietly($node, 'owner', <<'EOC', 'a function that catches its own exception');
CREATE FUNCTION sly() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dp_train('sly', 'folk', epsilon => 0.3);
  RAISE EXCEPTION 'undo';
EXCEPTION WHEN OTHERS THEN
  RETURN 'undone';
END $$;
SELECT sly();
EOC
push @folk, 'sly:spent';
all_well('after an exception block');

refused($node, 'analyst', "SELECT dp_train('mine', 'folk', epsilon => 0.3)", '42501', undef,
	'an analyst has no right to train');
quietly($node, 'owner', <<'EOC', 'but the owner may lend it by a function');
CREATE FUNCTION lend() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
$$ SELECT dp_train('lent', 'folk', epsilon => 0.3) $$;
EOC
run_as($node, 'analyst', "BEGIN; SELECT lend(); ROLLBACK");
push @folk, 'lent:spent';
all_well('after a function of the owner\'s');
is(value($node, undef, "SELECT role FROM dp_ledger WHERE model = 'lent'"), 'owner',
	'the charge names whose right it was');
is(value($node, undef, "SELECT session_role FROM dp_audit_log WHERE action = 'charge' AND detail->>'charge' = "
	  . "(SELECT id::text FROM dp_ledger WHERE model = 'lent')"), 'analyst', 'the log names who called');

# ---------------------------------------------------------------- interruptions of the caller, in the middle of the
# reading

my $gate = hold_gate($node);

# Starts a waiting training as `role` in a session of its own, and waits until it reads; returns the session and its
# job.
sub interrupted
{
	my ($model, %o) = @_;
	my $s = session($node, undef);

	$s->query($o{first}) if $o{first};
	$s->start("SELECT dp_train('$model', 'gated_v', epsilon => 0.5)");
	Mirage::await_gated($node);
	return ($s, value($node, undef, "SELECT max(id) FROM dp_jobs WHERE model = '$model'"));
}

sub ends_as
{
	my ($job, $state, $what) = @_;

	ok(await($node, "SELECT state FROM dp_jobs WHERE id = $job", $state), "$what: the job is $state");
	is(value($node, undef, "SELECT dp_wait($job)"), $state, "$what: and dp_wait says so");
}

my ($s, $job) = interrupted('cancelled');
value($node, undef, 'SELECT pg_cancel_backend(' . $s->pid . ')');
$s->failed_with('57014', undef, 'pg_cancel_backend of the caller ends the wait');
ends_as($job, 'cancelled', 'pg_cancel_backend');
push @gated, 'cancelled:spent';
all_well('after pg_cancel_backend');
is(models('cancelled'), '0', 'there is no model');
$s->close;

($s, $job) = interrupted('late', first => "SET statement_timeout = '1500ms'");
$s->failed_with('57014', qr/statement timeout/, 'statement_timeout ends the wait');
ends_as($job, 'cancelled', 'statement_timeout');
push @gated, 'late:spent';
all_well('after statement_timeout');
$s->close;

($s, $job) = interrupted('gone');
value($node, undef, 'SELECT pg_terminate_backend(' . $s->pid . ')');
$s->failed_with('57P01', undef, 'pg_terminate_backend of the caller ends it');
ends_as($job, 'cancelled', 'pg_terminate_backend of the caller');
push @gated, 'gone:spent';
all_well('after pg_terminate_backend of the caller');
$s->close;

# ---------------------------------------------------------------- the worker dies

($s, $job) = interrupted('shot');
value($node, undef, 'SELECT pg_terminate_backend(' . worker_pid($node, $job) . ')');
$s->failed_with('XX000', qr/background worker ended/, 'pg_terminate_backend of the worker: the caller learns of it');
ends_as($job, 'orphaned', 'pg_terminate_backend of the worker');
push @gated, 'shot:reserved';
all_well('after pg_terminate_backend of the worker');
$s->close;

$job = train_gated($node, 'shot2');
value($node, undef, 'SELECT pg_terminate_backend(' . worker_pid($node, $job) . ')');
ends_as($job, 'orphaned', 'the same with nobody waiting');
push @gated, 'shot2:reserved';
all_well('after that');

# While a cancelled job writes down that it was, it lives: it is no orphan, and a second cancel does not undo the first.
$job = train_gated($node, 'settling');
my $hold = session($node, undef);
$hold->query('BEGIN; LOCK TABLE mirage.ledger IN SHARE MODE');
is(value($node, undef, "SELECT dp_cancel($job)"), 't', 'a job is cancelled');
my $settles = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'mirage.ledger'::regclass AND pid "
	  . "= " . worker_pid($node, $job);
ok(await($node, $settles, 1), 'and has something to write down');
is(job_state($node, $job), 'running', 'meanwhile it is no orphan');
is(value($node, undef, "SELECT dp_wait($job, interval '10 ms')"), 'running', 'to dp_wait neither');
is(value($node, undef, "SELECT dp_cancel($job)"), 't', 'it is cancelled again');
is(value($node, undef, $settles), '1', 'and goes on');
$hold->query('COMMIT');
ends_as($job, 'cancelled', 'then');
push @gated, 'settling:spent';
all_well('after a cancel of a cancelled job');
$hold->close;

# The caller who did not wait may go: the job goes on.
$s = session($node, undef);
$job = $s->query("SELECT dp_train('alone', 'gated_v', epsilon => 0.5, wait => false)");
Mirage::await_gated($node);
$s->close;
is(job_state($node, $job), 'running', 'a job outlives a caller who did not wait');
$gate->close;
is(value($node, undef, "SELECT dp_wait($job)"), 'done', 'and gets done');
push @gated, 'alone:spent';
all_well('after that');

$gate = hold_gate($node);
$job = train_gated($node, 'killed');
kill('KILL', worker_pid($node, $job)) or die "kill: $!";
ok(await($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = " . $gate->pid . ")"),
	'kill -9 of the worker restarts the server');
ends_as($job, 'orphaned', 'kill -9');
$gate->close;
push @gated, 'killed:reserved';
all_well('after kill -9');

$gate = hold_gate($node);
$job = train_gated($node, 'pulled');
$node->stop('immediate');
$node->start;
ends_as($job, 'orphaned', 'immediate shutdown');
$gate->close;
push @gated, 'pulled:reserved';
all_well('after an immediate shutdown');
is(value($node, undef, "SELECT dp_cancel($job)"), 'f', 'there is nothing left to cancel');

$gate = hold_gate($node);
$job = train_gated($node, 'halted');
$node->stop('fast');
$node->start;
ends_as($job, 'orphaned', 'fast shutdown');
$gate->close;
push @gated, 'halted:reserved';
all_well('after a fast shutdown');

# ---------------------------------------------------------------- while it computes, after the reading

# Many columns with many labels: a second of work and more without a row to read.
value($node, undef, "CREATE TABLE wide AS SELECT " . join(', ',
	map { "abs(hashint4(i * 31 + $_)) % 24 AS c$_" } 1 .. 200)
	  . " FROM generate_series(1, 20000) i");
value($node, undef, "SELECT dp_protect('wide', epsilon => 20); SELECT count(*) FROM (SELECT dp_set_column('wide', "
	  . "attname, "
	  . "kind => 'category', categories => ARRAY(SELECT g::text FROM generate_series(0, 23) g)) FROM pg_attribute "
	  . "WHERE attrelid = 'wide'::regclass AND attnum > 0) s");

sub caught_computing
{
	my ($model) = @_;
	my $job = value($node, undef, "SELECT dp_train('$model', 'wide', epsilon => 1, wait => false)");

	await($node, "SELECT state = 'running' AND phase NOT IN ('starting', 'reading') OR state <> 'running' FROM dp_jobs "
		  . "WHERE id = $job");
	return $job;
}

$job = caught_computing('computing');
is(value($node, undef, "SELECT dp_cancel($job)"), 't', 'a job is cancelled while it computes');
ends_as($job, 'cancelled', 'dp_cancel while it computes');
is(charges($node, 'wide'), 'computing:spent', 'its charge stands');

$job = caught_computing('computing2');
value($node, undef, 'SELECT pg_terminate_backend(' . worker_pid($node, $job) . ')');
ends_as($job, 'orphaned', 'termination while it computes');
is(charges($node, 'wide'), 'computing:spent, computing2:reserved', 'its charge stands too');

$job = caught_computing('computing3');
$node->stop('immediate');
$node->start;
ends_as($job, 'orphaned', 'shutdown while it computes');
is(charges($node, 'wide'), 'computing:spent, computing2:reserved, computing3:reserved', 'and so does that');
all_well('after all of it');

# ---------------------------------------------------------------- the one refund: nothing was read

# A share reads as the role that protected the table: a policy of the kind that is refused, forced upon that role, is
# seen by the
# worker alone, after it has reserved and before it reads.
value($node, 'owner', <<'EOC');
SELECT dp_grant_budget('folk', 'analyst', 1);
CREATE POLICY p ON folk USING (age + 0 > (SELECT 0));
ALTER TABLE folk ENABLE ROW LEVEL SECURITY;
ALTER TABLE folk FORCE ROW LEVEL SECURITY;
EOC
my $before = value($node, undef, "SELECT used FROM dp_budgets WHERE name = 'folk'");
refused($node, 'analyst', "SELECT dp_train('unread', 'folk', epsilon => 0.3)", '0A000', qr/row security/,
	'a policy that is refused');
push @folk, 'unread:released';
is(value($node, undef, "SELECT state FROM dp_jobs WHERE model = 'unread'"), 'failed', 'the job has failed');
is(value($node, undef, "SELECT used FROM dp_budgets WHERE name = 'folk'"), $before, 'what read nothing is given back');
value($node, 'owner', 'ALTER TABLE folk NO FORCE ROW LEVEL SECURITY; ALTER TABLE folk DISABLE ROW LEVEL SECURITY');
all_well('after a release');

# What can be seen before is refused before, and charges nothing at all.
value($node, 'owner', 'REVOKE SELECT ON folk FROM owner');
refused($node, 'analyst', "SELECT dp_train('unread', 'folk', epsilon => 0.3)", '42501', qr/role "owner" may not read/,
	'the role that a share reads as has lost its right to read');
value($node, 'owner', 'GRANT SELECT ON folk TO owner');
all_well('after that');

# ---------------------------------------------------------------- a server that could forget

value($node, undef, "ALTER SYSTEM SET fsync = off");
$node->reload;
ok(await($node, "SHOW fsync", 'off'), 'fsync is turned off');
refused($node, 'owner', "SELECT dp_train('unsafe', 'folk', epsilon => 0.3)", '55000', qr/HINT.*fsync/,
	'a server that runs with fsync = off does not spend');
refused($node, 'owner', "SET pg_mirage.allow_unsafe_fsync = on; SELECT dp_train('unsafe', 'folk', epsilon => 0.3)",
	'55000',
	qr/fsync/, 'and a user cannot overrule that');
value($node, undef, "ALTER SYSTEM RESET fsync");
$node->reload;
ok(await($node, "SHOW fsync", 'on'), 'fsync is turned on');
quietly($node, 'owner', "SET synchronous_commit = off; SELECT dp_train('synced', 'folk', epsilon => 0.3)",
	'asynchronous commit');
push @folk, 'synced:spent';
$node->stop('immediate');
$node->start;
all_well('after an immediate shutdown on top of it');

$node->stop;
done_testing();
