# Locks and visibility: what a background worker cannot see or get is refused at once and by name, and never hangs.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('locks', init => { allows_streaming => 1 });

value($node, undef, <<'EOC');
CREATE ROLE owner LOGIN;
CREATE ROLE guest LOGIN;
CREATE ROLE other LOGIN;
GRANT CREATE ON SCHEMA public TO owner;
EOC
people($node, 'folk', 2000, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 30); SELECT dp_train('m', 'folk', epsilon => 1); "
	  . "SELECT dp_grant('m', 'guest')");

sub nothing_runs
{
	my ($what) = @_;
	ok(await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_mirage%'", 0),
		"$what: nothing stays running");
}

# ---------------------------------------------------------------- the caller's own locks

my $before = charges($node, 'folk');
my $err = refused($node, 'owner', "BEGIN; LOCK TABLE folk IN ACCESS EXCLUSIVE MODE; SELECT dp_train('x', 'folk', "
	  . "epsilon => 0.3)",
	'55P03', qr/waits for a lock that this transaction holds/, 'the caller\'s own lock', timeout => 60);
like(hint_of($err), qr/Commit or roll back/, 'the hint says what to do');
nothing_runs('after that');
quietly($node, 'owner', "BEGIN; LOCK TABLE folk IN EXCLUSIVE MODE; SET client_min_messages = warning; "
	  . "SELECT dp_train('under_lock', 'folk', epsilon => 0.3) > 0; COMMIT",
	'a lock that lets readers through is no hindrance');

# And when somebody else stands between.
my $a = session($node, 'owner');
$a->query('BEGIN; LOCK TABLE folk IN ROW EXCLUSIVE MODE');
my $b = session($node, 'owner');
$b->start('BEGIN; LOCK TABLE folk IN ACCESS EXCLUSIVE MODE');
await($node, 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $b->pid, 1);
$a->query("SELECT dp_train('x', 'folk', epsilon => 0.3)");
like($a->err, qr/ERROR:\s+55P03/, 'a worker that stands behind another who waits for the caller');
$a->query('ROLLBACK');
$b->finish;
nothing_runs('after that');

# A lock of somebody else's is waited for.
$a->start("SET client_min_messages = warning; SELECT dp_train('waited', 'folk', epsilon => 0.3) > 0");
ok(await($node, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'folk'::regclass", 1),
	'a lock of another session\'s is waited for');
$b->query('ROLLBACK');
is($a->finish, 't', 'and when that is gone, it trains');
# ... but not beyond the caller's patience
$b->query('BEGIN; LOCK TABLE folk IN ACCESS EXCLUSIVE MODE');
$a->query("SET statement_timeout = '500ms'; SELECT dp_train('x', 'folk', epsilon => 0.3)");
like($a->err, qr/ERROR:\s+57014/, 'a caller\'s timeout ends it');
$b->query('ROLLBACK');
nothing_runs('after that');
$_->close for ($a, $b);
is(charges($node, 'folk'), "$before, under_lock:spent, waited:spent", 'what was refused was not charged');

# ---------------------------------------------------------------- the caller's own open transaction

refused($node, 'owner', "BEGIN; CREATE TABLE fresh AS SELECT 1 AS a; SELECT dp_protect('fresh', epsilon => 1); "
	  . "SELECT dp_train('x', 'fresh')", '55000', qr/fresh.*HINT:\s+Commit first/s, 'a table of this transaction');
value($node, 'owner', 'CREATE TABLE fresh AS SELECT g % 5 AS a FROM generate_series(1, 100) g');
refused($node, 'owner', "BEGIN; SELECT dp_protect('fresh', epsilon => 1); SELECT dp_train('x', 'fresh')", '55000',
	qr/protection of "public.fresh".*HINT:\s+Commit first/s, 'a protection of this transaction');
refused($node, 'owner', "BEGIN; SAVEPOINT s; SELECT dp_protect('fresh', epsilon => 1); RELEASE s; SELECT "
	  . "dp_train('x', 'fresh')",
	'55000', qr/protection of "public.fresh"/, 'of a subtransaction of it');
value($node, 'owner', "SELECT dp_protect('fresh', epsilon => 10)");
refused($node, 'owner', "BEGIN; ALTER TABLE fresh ADD COLUMN b int; SELECT dp_train('x', 'fresh')", '55000',
	qr/public.fresh/,
	'a table altered in this transaction');
refused($node, 'owner', "BEGIN; SELECT dp_set_column('fresh', 'a', lower => '0', upper => '9'); SELECT dp_train('x', "
	  . "'fresh')",
	'55000', qr/HINT:\s+Commit first/, 'a column declared in this transaction');
value($node, undef, 'CREATE DATABASE young');
refused($node, undef, "BEGIN; CREATE EXTENSION pg_mirage; CREATE TABLE t AS SELECT 1 AS a; SELECT dp_protect('t', "
	  . "epsilon => 1); "
	  . "SELECT dp_train('x', 't')", '55000', qr/HINT:\s+Commit first/, 'an extension of this transaction',
	db => 'young');
refused($node, 'owner', "CREATE TEMP TABLE tmp AS SELECT 1 AS a; SELECT dp_protect('tmp', epsilon => 1)", '42809',
	qr/temporary/,
	'a temporary table cannot be protected');
refused($node, 'owner', "CREATE TEMP VIEW tmp AS SELECT a FROM fresh; SELECT dp_train('x', 'tmp')", '0A000',
	qr/temporary/,
	'nor can a temporary view be learnt from');
is(charges($node, 'fresh'), '', 'nothing was charged for any of them');
nothing_runs('after that');
can_train($node, 'owner', 'fresh_v1', 'fresh', 'once committed, all is well');

# ---------------------------------------------------------------- isolation

$a = session($node, 'owner');
$a->query('SET client_min_messages = warning; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM folk');
like($a->query("SELECT dp_train('rr', 'folk', epsilon => 0.3)"), qr/^\d+$/, 'REPEATABLE READ: trains');
is($a->query("SELECT count(*) FROM dp_synthesize('rr', 10) AS t(age int)"), '10', 'and sees its own new model');
is($a->err, '', 'without a word');
$a->query('ROLLBACK');
$a->query('BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM folk');
like($a->query("SELECT dp_train('sr', 'folk', epsilon => 0.3)"), qr/^\d+$/, 'SERIALIZABLE: trains');
is($a->query("SELECT count(*) FROM dp_synthesize('sr', 10) AS t(age int)"), '10', 'and sees its own new model');
$a->query('ROLLBACK');
my $g = session($node, 'guest');
$g->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($g->query("SELECT count(*) FROM dp_synthesize('m', 10) AS t(age int)"), '10', 'a guest in REPEATABLE READ has rows');
value($node, 'owner', "SELECT dp_revoke('m', 'guest')");
$g->query("SELECT count(*) FROM dp_synthesize('m', 10) AS t(age int)");
like($g->err, qr/ERROR:\s+42501/, 'and none once the grant is gone');
$g->query('ROLLBACK');
value($node, 'owner', "SELECT dp_grant('m', 'guest')");

# A grant is the owner's transaction: nobody else sees it before its end, and a release waits for what becomes of a
# revocation.
for my $end ('ROLLBACK', 'COMMIT')
{
	$a->query("BEGIN; SELECT dp_revoke('m', 'guest')");
	$g->start("SELECT count(*) FROM dp_synthesize('m', 10) AS t(age int)");
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage release' AND "
		  . "wait_event_type = 'Lock'", 1);
	$a->query($end);
	is($g->finish, $end eq 'COMMIT' ? '' : '10', "a revocation counts when it commits: $end");
}
like($g->err, qr/ERROR:\s+42501/, 'which is why rows are refused');
value($node, 'owner', "SELECT dp_grant('m', 'guest')");
$a->query("BEGIN; SELECT dp_grant('m', 'other')");
refused($node, 'other', "SELECT dp_synthesize('m', 1)", '42501', undef, 'as does a grant');
$a->query('ROLLBACK');

# ---------------------------------------------------------------- read-only transactions

my $issued = value($node, undef, 'SELECT count(*) FROM mirage.issuance');
$a->query('BEGIN READ ONLY');
is($a->query("SELECT count(*) FROM dp_synthesize('m', 10) AS t(age int)"), '10',
	'a read-only transaction receives rows');
$a->query('ROLLBACK');
is(value($node, undef, 'SELECT count(*) FROM mirage.issuance') - $issued, 1,
	'and they are written down, ROLLBACK or not');
refused($node, 'owner', "BEGIN READ ONLY; SELECT dp_train('x', 'folk')", '25006', qr/dp_train/, 'but does not train');
quietly($node, 'owner', "SET default_transaction_read_only = on; BEGIN READ WRITE; SET client_min_messages = warning; "
	  . "SELECT dp_train('ro', 'folk', epsilon => 0.3) > 0; COMMIT",
	'a session that reads by default may train on purpose');
$_->close for ($a, $g);

# ---------------------------------------------------------------- tables that change

value($node, 'owner', "CREATE TABLE moving AS SELECT age, sex, city FROM folk; SELECT dp_protect('moving', epsilon "
	  . "=> 10)");
can_train($node, 'owner', 'moving_1', 'moving', 'a table');
value($node, 'owner', 'ALTER TABLE moving RENAME TO moved');
can_train($node, 'owner', 'moving_2', 'moved', 'renamed: the protection follows it');
value($node, 'owner', 'ALTER TABLE moved DROP COLUMN city');
can_train($node, 'owner', 'moving_3', 'moved', 'with a column less');
value($node, 'owner', 'ALTER TABLE moved ADD COLUMN height real');
can_train($node, 'owner', 'moving_4', 'moved', 'with another');
value($node, undef, 'CREATE SCHEMA elsewhere AUTHORIZATION owner');
value($node, 'owner', 'ALTER TABLE moved SET SCHEMA elsewhere');
can_train($node, 'owner', 'moving_5', 'elsewhere.moved', 'in another schema');
is(charges($node, 'moving'), 'moving_1:spent, moving_2:spent, moving_3:spent, moving_4:spent, moving_5:spent',
	'all under one budget');
value($node, 'owner', 'CREATE TABLE moving AS SELECT age, sex FROM folk');
refused($node, 'owner', "SELECT dp_train('x', 'moving')", '55000', qr/not protected/,
	'a new table of the old name is another');
refused($node, 'owner', "SELECT dp_synthesize_as(NULL::elsewhere.nothing, 'moving_1', 1)", '42704', undef,
	'a type that is not there');
is(value($node, 'owner', "SELECT count(*) FROM dp_synthesize_as(NULL::elsewhere.moved, 'moving_1', 5)"), '5',
	'a model made before the table changed gives rows of its new shape');
value($node, 'owner', 'DROP TABLE elsewhere.moved');
refused($node, 'owner', "SELECT dp_train('x', 'elsewhere.moved')", '42P01', undef, 'a dropped table');
is(value($node, 'owner', "SELECT count(*) FROM dp_synthesize('moving_1', 5) AS t(age int, city text)"), '5',
	'its models live on');
is(value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'moving'"), '5', 'its charges stand');
value($node, 'owner', 'CREATE TABLE elsewhere.moved AS SELECT age FROM folk');
refused($node, 'owner', "SELECT dp_protect('elsewhere.moved', epsilon => 10)", '55000', qr/budget => 'moving'/,
	'a table made again under a name that was protected is the same people');
is(quietly($node, 'owner', "SELECT dp_protect('elsewhere.moved', budget => 'moving')",
	'its protection can be renewed'), 'moving',
	'under the old budget');

refused($node, 'owner', "SET quote_all_identifiers = on; SELECT dp_protect('elsewhere.moved', epsilon => 10)", '55000',
	undef,
	'however its name is quoted');
value($node, 'owner', "CREATE TABLE sly AS SELECT age FROM folk; SET quote_all_identifiers = on; SELECT "
	  . "dp_protect('sly', epsilon => 1); "
	  . "ALTER INDEX sly RENAME TO \"Sly one\"; DROP TABLE \"Sly one\"; CREATE TABLE \"Sly one\" AS SELECT age FROM "
	  . "folk");
refused($node, 'owner', "SELECT dp_protect('\"Sly one\"', epsilon => 1)", '55000', undef,
	'and by whatever command it was renamed');
value($node, undef, 'ALTER SCHEMA elsewhere RENAME TO "else where"');
value($node, 'owner', 'DROP TABLE "else where".moved; CREATE TABLE "else where".moved AS SELECT age FROM folk');
refused($node, 'owner', "SELECT dp_protect('\"else where\".moved', epsilon => 10)", '55000', undef,
	'even with its schema');

# A role that protected the table, dropped.
value($node, undef, "CREATE ROLE fleeting LOGIN; GRANT CREATE ON SCHEMA public TO fleeting");
value($node, 'fleeting', "CREATE TABLE flighty AS SELECT 1 AS a; SELECT dp_protect('flighty', epsilon => 5); "
	  . "SELECT dp_grant_budget('flighty', 'other', 1); SELECT dp_train('flighty_1', 'flighty', epsilon => 0.3)");
value($node, undef, 'REASSIGN OWNED BY fleeting TO owner; DROP OWNED BY fleeting; DROP ROLE fleeting');
is(value($node, 'other', "SELECT dp_train('flighty_2', 'flighty', epsilon => 0.3) > 0"), 't',
	'a share outlives that role: it reads as the owner');
can_train($node, 'owner', 'flighty_3', 'flighty', 'the new owner trains', epsilon => 0.3);
refused($node, 'owner', "SELECT dp_synthesize('flighty_1', 1)", '42501', undef,
	'a dropped role\'s model is not the new owner\'s');
quietly($node, undef, "SELECT count(*) FROM dp_budgets; SELECT count(*) FROM dp_ledger; SELECT count(*) FROM "
	  . "dp_models; "
	  . "SELECT count(*) FROM dp_jobs; SELECT count(*) FROM dp_audit_log", 'the views bear with a role that is gone');

# ---------------------------------------------------------------- a caller with odd settings

my $odd = join('; ', map { "SET $_" } "search_path = ''", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard",
	"TimeZone = 'Asia/Kathmandu'",
	'standard_conforming_strings = off', 'transform_null_equals = on', 'default_transaction_isolation = serializable',
	'extra_float_digits = -15',
	'quote_all_identifiers = on', 'row_security = off', 'bytea_output = escape', 'array_nulls = off',
	'synchronous_commit = off',
	"client_encoding = LATIN1", 'default_transaction_deferrable = on', 'enable_seqscan = off', "work_mem = '64kB'",
	'app.x = 1',
	'idle_in_transaction_session_timeout = 50', 'client_min_messages = error', 'check_function_bodies = off',
	($node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode') . ' = on', "statement_timeout = '60s'",
		"lock_timeout = '50s'");
quietly($node, 'owner', "$odd; SELECT public.dp_train('odd', 'public.folk', epsilon => 0.3)",
	'odd settings do not hinder a training');
is(value($node, 'owner', "$odd; SELECT pg_catalog.count(*) FROM public.dp_synthesize('odd', 10) AS t(age int)"), '10',
	'nor a release');
quietly($node, undef, "SET session_replication_role = replica; SELECT dp_train('replica', 'folk', epsilon => 0.3); "
	  . "SELECT count(*) FROM dp_synthesize('replica', 1) AS t(age int)", 'nor does replica mode');
quietly($node, undef, "SET ROLE owner; SELECT dp_train('role', 'folk', epsilon => 0.3); SET SESSION AUTHORIZATION "
	  . "owner; "
	  . "SELECT dp_train('session', 'folk', epsilon => 0.3)", 'SET ROLE and SET SESSION AUTHORIZATION');
is(value($node, undef, "SELECT string_agg(DISTINCT owner, ',') FROM dp_models WHERE name IN ('role', 'session')"),
	'owner',
	'travel with the call');

# ---------------------------------------------------------------- while a training reads

make_gate($node);
my $gate = hold_gate($node);
my $job = train_gated($node, 'held');
my $d = session($node, undef);
$d->start('DROP TABLE gated CASCADE');
ok(await($node, 'SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = ' . $d->pid, 1),
	'DROP TABLE waits for a training that reads');
$gate->close;
is(value($node, undef, "SELECT dp_wait($job)"), 'done', 'which ends well');
$d->finish;
is($d->err =~ /ERROR/ ? $d->err : '', '', 'and then the table is dropped');
$d->close;
is(value($node, undef, "SELECT count(*) FROM dp_synthesize('held', 5) AS t(age int)"), '5', 'the model is there');

# ---------------------------------------------------------------- a database that goes while a training reads

value($node, undef, 'CREATE DATABASE doomed');
value($node, undef, 'CREATE EXTENSION pg_mirage', db => 'doomed');
make_gate($node, db => 'doomed');
$gate = hold_gate($node, db => 'doomed');
$job = train_gated($node, 'last', db => 'doomed');
quietly($node, undef, 'DROP DATABASE doomed WITH (FORCE)', 'a database is dropped by force');
nothing_runs('after that');
$gate->close;
is(value($node, undef, "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)"), '5', 'its neighbour does not mind');

# ---------------------------------------------------------------- a synchronous standby that does not answer

# A charge that is not on the synchronous standby could be lost in a failover: nothing is read before it is there.
sub standby_names
{
	my ($names) = @_;

	value($node, undef, "ALTER SYSTEM SET synchronous_standby_names = '$names'");
	$node->reload;
	await($node, 'SHOW synchronous_standby_names', $names);
	value($node, undef, 'CHECKPOINT');    # which the checkpointer does after it has told the others
}
standby_names('nobody');
$a = session($node, 'owner');
$a->start("SELECT dp_train('unsynced', 'folk', epsilon => 0.3)");
ok(await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage training' AND wait_event = "
	  . "'SyncRep'", 1),
	'a charge waits for the synchronous standby');
value($node, undef, 'SELECT pg_cancel_backend(' . $a->pid . ')');
$a->failed_with('57014', undef, 'the caller has not the patience');
ok(await($node, "SELECT count(*) FROM mirage.ledger WHERE model = 'unsynced' AND state = 'reserved'", 1),
	'the charge is committed here');
standby_names('');
ok(await($node, "SELECT state FROM dp_jobs WHERE model = 'unsynced'", 'cancelled'), 'the job is cancelled');
like(charges($node, 'folk'), qr/unsynced:released/, 'and had read nothing');
$a->close;

# ---------------------------------------------------------------- a standby

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
refused($standby, 'owner', "SELECT dp_train('x', 'folk')", '25006', qr/standby.*HINT.*primary/s,
	'a standby does not train', timeout => 30);
refused($standby, 'owner', "SELECT dp_synthesize('m', 1)", '25006', undef, 'nor release', timeout => 30);
refused($standby, undef, "SELECT dp_trace('SELECT 1 AS age, 2 AS sex')", '25006', undef, 'nor trace', timeout => 30);
refused($standby, undef, "SELECT dp_set_model('m', watermark => false)", '25006', undef, 'nor switch a mark',
	 timeout => 30);
refused($standby, 'owner', "SELECT dp_protect('folk', epsilon => 1)", '25006', undef, 'nor protect', timeout => 30);
is(value($standby, 'owner', "SELECT count(*) > 0 FROM dp_ledger"), 't', 'but the views can be read');
is(value($standby, undef, "SELECT ok FROM dp_verify_audit()"), 't', 'and the log verified');
$standby->promote;
# (what copied the data directory for this test did not keep the file's mode)
my $key = $standby->data_dir . '/pg_mirage.key';
refused($standby, 'owner', "SELECT dp_train('x', 'folk')", 'F0000', qr/0600/,
	'a key file that others can read is no key');
chmod(0600, $key) or die "$key: $!";
can_train($standby, 'owner', 'promoted', 'folk', 'once promoted, it trains');
$standby->stop;

audit_ok($node, 'the log is whole');
$node->stop;
done_testing();
