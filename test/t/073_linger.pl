# Workers that linger: they save the next release the start of one, are nobody's but the login's that they connected as,
# carry nothing from one caller to the next, and are in nobody's way.
use strict;
use warnings;

use Mirage;
use Test::More;
use Time::HiRes 'time';

# Far longer than anything here waits: what makes a worker leave is never its time, unless that is what is tested.
my $node = new_node('linger', conf => "pg_mirage.worker_linger = 60s\ntrack_commit_timestamp = on\n");

value($node, undef, <<'EOC');
CREATE ROLE owner LOGIN;
GRANT CREATE ON SCHEMA public TO owner;
CREATE ROLE north NOLOGIN;
CREATE ROLE south NOLOGIN;
CREATE ROLE pooler LOGIN IN ROLE north, south;
CREATE ROLE reader LOGIN;
EOC
people($node, 'folk', 500, owner => 'owner');

sub make_model
{
	my ($n, $model, %o) = @_;
	value($n, $o{owner}, "SET client_min_messages = warning; SELECT dp_train('$model', 'folk', method => "
		  . "'independent', epsilon => 0.5)", %o);
}
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 20)");
make_model($node, $_, owner => 'owner') for 'm', 'other';
value($node, 'owner', "SELECT dp_grant('m', r::regrole) FROM unnest(ARRAY['north', 'south', 'reader']) r");
value($node, 'owner', "SELECT dp_grant('other', 'reader')");

my $take = "SELECT count(age) FROM dp_synthesize('m', 3) AS t(age int)";
my $take_other = "SELECT count(age) FROM dp_synthesize('other', 3) AS t(age int)";
my $lingering = "FROM pg_stat_activity WHERE backend_type = 'pg_mirage release'";

# The workers of a login, or of all, as pids
sub workers
{
	my ($n, $user, $db) = @_;
	return value($n, undef, "SELECT coalesce(string_agg(pid::text, ' ' ORDER BY pid), '') $lingering"
		  . ($user ? " AND usename = '$user'" : '') . ($db ? " AND datname = '$db'" : ''));
}

# On a machine that is busy elsewhere a caller may not wait for it, and start a second one.
sub served_by
{
	my ($n, $user, $pid, $name, $db) = @_;
	like(workers($n, $user, $db), qr/\b$pid\b/, $name);
}

sub await_none
{
	my ($n, $user, $name) = @_;
	ok(await($n, "SELECT count(*) $lingering" . ($user ? " AND usename = '$user'" : ''), 0, seconds => 20), $name);
}

# ---------------------------------------------------------------- one for many, and whose it is

my $a = session($node, 'reader');
is($a->query($take), '3', 'a release');
my $first = workers($node, 'reader');
like($first, qr/^\d+$/, 'leaves a worker behind');
is(session($node, 'reader')->query($take), '3', 'another session of the same login') for 1 .. 3;
served_by($node, 'reader', $first, 'is served by the same');
ok( await($node,
		"SELECT state = 'idle' AND xact_start IS NULL AND backend_xid IS NULL AND backend_xmin IS NULL AND NOT EXISTS "
		  . "(SELECT FROM pg_locks l WHERE l.pid = a.pid) FROM pg_stat_activity a WHERE pid = $first"),
	'which holds nothing meanwhile: no transaction, no snapshot, no lock');
ok(await($node, 'SELECT bool_and(block IS NOT NULL) FROM dp_audit_log'), 'and has chained the log');
is(value($node, 'pooler', $take), '3', 'another login');
isnt(workers($node, 'pooler'), '', 'has a worker of its own');
unlike(workers($node, 'pooler'), qr/\b$first\b/, 'not the one of the first');
is(value($node, undef, "SELECT DISTINCT backend_type, usename $lingering ORDER BY 2"),
	"pg_mirage release|pooler\npg_mirage release|reader",
	'each is connected as its callers are');

# ---------------------------------------------------------------- nothing goes from one caller to the next

my ($pooler) = split ' ', workers($node, 'pooler');
my $p = session($node, 'pooler');
my $before = value($node, undef, 'SELECT max(id) FROM dp_issuances');
$p->query("SET ROLE $_; SELECT count(age) FROM dp_synthesize('m', 3, purpose => 'as $_') AS t(age int)")
  for qw(north south north);
$p->query("RESET ROLE; $take");
served_by($node, 'pooler', $pooler, 'four callers of one login, one worker');
is( value($node, undef,
		"SELECT string_agg(concat_ws('/', role, recipient, purpose), ' ' ORDER BY id) FROM dp_issuances"
		  . " WHERE id > $before"),
	'north/pooler/as north south/pooler/as south north/pooler/as north pooler/pooler',
	'each is recorded as who called then, and with its own purpose alone');

# Claims: of the session that makes them, and gone with the right.
value($node, undef, "SELECT dp_allow_claims('pooler')");
$before = value($node, undef, 'SELECT max(id) FROM dp_issuances');
$p->query("SET pg_mirage.recipient = 'alice'; $take");
my $q = session($node, 'pooler');
$q->query($take);
$q->query("SET pg_mirage.recipient = 'bob'; $take");
$p->query($take);
is( value($node, undef,
		"SELECT string_agg(concat_ws('/', recipient, claimed), ' ' ORDER BY id) FROM dp_issuances WHERE id > $before"),
	'alice/t pooler/f bob/t alice/t',
	'a claim is of its own session');
served_by($node, 'pooler', $pooler, 'by the same worker, again');
value($node, undef, "SELECT dp_allow_claims('pooler', false)");
$p->start($take);
$p->failed_with('42501', qr/may not say whom/, 'and without the right there is none');

# Settings: a refusal that the worker raises tells the time as its caller reads it.
value($node, 'owner', "SELECT dp_grant('m', 'reader', max_rows => 8, per => '1 day')");
$a->query($take);
my $z = session($node, 'reader');
for my $zone ('Asia/Kolkata', 'UTC', 'Asia/Kolkata')
{
	my $sign = $zone eq 'UTC' ? qr/\+00/ : qr/\+05:30/;
	$z->query("SET TimeZone = '$zone'");
	$z->start("SELECT count(age) FROM dp_synthesize('m', 6) AS t(age int)");
	$z->failed_with('54000', qr/Try again after [^,]*$sign/, "a refusal in the time of $zone");
}
served_by($node, 'reader', $first, 'from one worker, which a refusal does not end');
value($node, 'owner', "SELECT dp_grant('m', 'reader')");

# What was granted or revoked since counts.
value($node, 'owner', "SELECT dp_revoke('m', 'reader')");
$a->start($take);
$a->failed_with('42501', qr/permission denied/, 'a revoked grant');
value($node, 'owner', "SELECT dp_grant('m', 'reader')");
is($a->query($take), '3', 'and a renewed one');

# ---------------------------------------------------------------- who may not connect is not served

value($node, undef, 'ALTER ROLE reader NOLOGIN');
$a->start($take);
$a->failed_with('XX000', undef, 'a login that was shut out meanwhile has no worker, old or new');
await_none($node, 'reader', 'and its worker has left');
value($node, undef, 'ALTER ROLE reader LOGIN');
is($a->query($take), '3', 'let in again');
value($node, undef, 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC');
$a->start($take);
$a->failed_with('XX000', undef, 'nor has one that may not connect any more');
value($node, undef, 'GRANT CONNECT ON DATABASE postgres TO PUBLIC');
is($a->query($take), '3', 'until it may');
value($node, undef, 'ALTER ROLE reader SUPERUSER');
my $as_user = workers($node, 'reader');
is($a->query($take), '3', 'who became a superuser');
isnt(workers($node, 'reader'), $as_user, 'gets a worker that began as one');
value($node, undef, 'ALTER ROLE reader NOSUPERUSER');
is($a->query($take), '3', 'and who is none any more has one that is none');

# ---------------------------------------------------------------- locks, cancels

# A worker that waits for a lock: others of its login do not wait with it.
my $blocker = session($node, undef);
$blocker->query("BEGIN; SELECT 1 FROM mirage.model_grant g JOIN mirage.model m ON m.id = g.model "
	  . "WHERE m.name = 'm' AND grantee_name = 'reader' FOR UPDATE OF g");
$a->start($take);
my $waiting = "SELECT count(*) = 1 $lingering AND usename = 'reader' AND wait_event_type = 'Lock'";
ok(await($node, $waiting), 'a release waits for a lock in its worker');
my $b = session($node, 'reader');
is($b->query($take_other), '3', 'one of another model does not');
is($b->query($take_other), '3', 'nor the next');
value($node, undef, "SELECT pg_cancel_backend(" . $a->pid . ")");
$a->failed_with('57014', undef, 'who waits can be cancelled');
ok(await($node, "SELECT NOT EXISTS (SELECT $lingering AND wait_event_type = 'Lock')"), 'and the worker stops waiting');
is($a->query($take_other), '3', 'the next release is not cancelled with it') for 1 .. 5;
# one that stands in line behind another is cancelled in the line
$a->start($take);
ok(await($node, $waiting), 'again');
$b->start($take);
ok(await($node, "SELECT count(*) = 2 $lingering AND usename = 'reader' AND wait_event_type = 'Lock'"),
	'a second one that needs the same lock waits in a worker of its own');
$blocker->query('ROLLBACK');
is($_->finish, '3', 'both come to their end') for $a, $b;
# its own lock: told so, as ever
my $own = session($node, undef);
is($own->query($take), '3', 'a worker that idles');
$own->query('BEGIN; LOCK mirage.issuance IN EXCLUSIVE MODE');
$own->start($take);
$own->failed_with('55P03', qr/this transaction holds/, 'a lock that the caller itself holds is named');
$own->query('ROLLBACK');
is($own->query($take), '3', 'and nothing is left of it');

# ---------------------------------------------------------------- terminations

my $pid = (split ' ', workers($node, 'reader'))[0];
value($node, undef, "SELECT pg_terminate_backend($pid)");
ok(await($node, "SELECT count(*) $lingering AND pid = $pid", 0), 'a worker that idles can be terminated');
is($a->query($take), '3', 'and is replaced');
# again and again, while releases come: none fails, or only because its worker was at it
my ($served, $lost) = (0, 0);
for my $round (1 .. 20)
{
	$a->start("$take;\n$take;\n$take");
	value($node, undef, "SELECT pg_terminate_backend(pid) $lingering AND usename = 'reader'");
	my $n = () = $a->finish =~ /^3$/mg;
	my $e = () = $a->err =~ /ERROR:\s+(?:XX000|57P01)/g;
	$served += $n;
	$lost += $e;
	$a->query('SELECT 1');
}
ok($served > 0, 'while workers are terminated releases go on');
is($served + $lost, 60, 'and each ends: with rows, or with an error');
is( value($node, undef,
		"SELECT count(*) FROM (SELECT max(issuance) FROM (SELECT (detail->>'issuance')::bigint AS issuance "
		  . "FROM dp_audit_log WHERE action = 'release') l GROUP BY issuance HAVING count(*) > 1) d"),
	'0', 'no issuance has two entries');

# ---------------------------------------------------------------- exactly the quota, through one queue

value($node, 'owner', "SELECT dp_grant('other', 'reader', max_rows => "
	  . value($node, undef, "SELECT 47 + sum(rows) FROM dp_issuances WHERE model = 'other' AND grantee = 'reader'")
	  . ")");
my @s = map { session($node, 'reader') } 1 .. 16;
$_->start("BEGIN;\n$take_other;\nROLLBACK") for @s;
$_->finish for @s;
my $got = grep { $_->err !~ /ERROR/ } @s;
is($got, 15, 'sixteen sessions of one login, room for fifteen: fifteen get rows, ROLLBACK or not');
$_->start($take) for @s;
$_->finish for @s;
is(scalar(grep { $_->err !~ /ERROR/ } @s), 16, 'sixteen at once without a limit: all of them');
ok(await($node, "SELECT count(*) = 1 $lingering AND usename = 'reader'"), 'and of one login one worker stays');

# Releases that wait for one worker are committed together, and each is whole.
$before = value($node, undef, 'SELECT max(id) FROM dp_issuances');
$_->start(join(";\n", ($take) x 6)) for @s;
$_->finish for @s;
is(scalar(grep { $_->err =~ /ERROR/ } @s), 0, 'ninety-six of sixteen sessions');
my ($releases, $commits) = split /\|/, value($node, undef,
	"SELECT count(*), count(DISTINCT pg_xact_commit_timestamp(xmin)) FROM mirage.issuance WHERE id > $before");
is($releases, 96, 'each is on record');
cmp_ok($commits, '<', 96, 'some by one commit');
is( value($node, undef, "SELECT count(*) FROM mirage.issuance i JOIN mirage.receipt r ON r.issuance = i.id "
		  . "JOIN mirage.log l ON l.detail->>'issuance' = i.id::text AND l.action = 'release' WHERE i.id > $before "
		  . "AND pg_xact_commit_timestamp(i.xmin) = pg_xact_commit_timestamp(r.xmin) "
		  . "AND pg_xact_commit_timestamp(i.xmin) = pg_xact_commit_timestamp(l.xmin)"),
	'96', 'each with its receipt and its entry');
# Among them some that are refused, and some that wait for a lock: neither is anybody else's matter.
value($node, 'owner', "SELECT dp_grant('other', 'reader')");
value($node, 'owner', "SELECT dp_grant('m', 'reader', max_rows => "
	  . value($node, undef, "SELECT 7 + sum(rows) FROM dp_issuances WHERE model = 'm' AND grantee = 'reader'") . ")");
$s[$_]->start(join(";\n", ($_ % 4 == 0 ? $take : $take_other) x 4)) for 0 .. 15;
$_->finish for @s;
is(scalar(map { $_->err =~ /ERROR:\s+54000/g } @s), 14,
	'of sixteen above a limit two go through, the others are refused');
is(scalar(grep { $_->err =~ /ERROR/ } @s[ grep { $_ % 4 } 0 .. 15 ]), 0, 'and what goes on beside them is not');
$blocker->query("BEGIN; SELECT 1 FROM mirage.model_grant g JOIN mirage.model m ON m.id = g.model "
	  . "WHERE m.name = 'm' AND grantee_name = 'reader' FOR UPDATE OF g");
value($node, 'owner', "SELECT dp_grant('other', 'reader')");
$s[$_]->start(join(";\n", ($_ % 8 == 0 ? $take : $take_other) x 4)) for 0 .. 15;
$s[$_]->finish for grep { $_ % 8 } 0 .. 15;
is(scalar(grep { $_->err =~ /ERROR/ } @s[ grep { $_ % 8 } 0 .. 15 ]), 0,
	'fourteen go on beside two that wait for a lock');
ok(await($node, "SELECT count(*) = 2 $lingering AND usename = 'reader' AND wait_event_type = 'Lock'"),
	'which still do');
$blocker->query('ROLLBACK');
$s[$_]->failed_with('54000', qr/limit of rows/, 'and then are told what there is to tell') for 0, 8;
value($node, 'owner', "SELECT dp_grant('m', 'reader')");
$_->close for @s;

# ---------------------------------------------------------------- the configuration

isnt(workers($node), '', 'workers linger');
$node->append_conf('postgresql.conf', "pg_mirage.worker_linger = 0\n");
$node->reload;
await_none($node, undef, 'a reload ends them');
is(value($node, 'reader', $take), '3', 'a release that leaves none behind');
await_none($node, undef, 'none is there');
$node->append_conf('postgresql.conf', "pg_mirage.worker_linger = 300ms\n");
$node->reload;
is(value($node, 'reader', $take), '3', 'for a short while');
isnt(workers($node), '', 'one stays');
await_none($node, undef, 'and leaves when its time is over');
$node->append_conf('postgresql.conf', "pg_mirage.worker_linger = 60s\n");
$node->reload;

# ---------------------------------------------------------------- databases

sub second_database
{
	my ($db) = @_;
	value($node, undef, "CREATE DATABASE $db");
	value($node, undef, 'CREATE EXTENSION pg_mirage', db => $db);
	people($node, 'folk', 200, db => $db);
	value($node, undef, "SELECT dp_protect('folk', epsilon => 20)", db => $db);
	make_model($node, 'm', db => $db);
	is(value($node, undef, $take, db => $db), '3', "a release in database $db");
	isnt(workers($node, undef, $db), '', 'leaves a worker there');
}

# Fails after five seconds where somebody is connected; a worker sees it much earlier.
sub in_no_way
{
	my ($sql, $name) = @_;
	my $began = time;
	quietly($node, undef, $sql, $name);
	cmp_ok(time - $began, '<', 4, 'without waiting for the worker to have enough');
}

second_database('two');
is(value($node, undef, $take), '3', 'a release here, of the same login');
is(value($node, undef, "SELECT string_agg(datname, ' ' ORDER BY datname) $lingering AND usename = 'postgres'"),
	'postgres two', 'each database has its own');
in_no_way('CREATE DATABASE copy TEMPLATE two', 'the other can be copied');
is(value($node, undef, $take, db => 'two'), '3', 'a release');
in_no_way('ALTER DATABASE two RENAME TO three', 'renamed');
is(value($node, undef, $take, db => 'three'), '3', 'a release');
in_no_way('DROP DATABASE three', 'dropped');
is(value($node, undef, "SELECT count(*) $lingering AND datname = 'postgres' AND usename = 'postgres'"),
	'1', 'the one here is still here');

# The extension dropped and made again: whatever a worker had prepared is not of these tables.
second_database('again');
my $same = session($node, undef, db => 'again');
$same->query($take) for 1 .. 3;
my ($old) = split ' ', workers($node, 'postgres', 'again');
value($node, undef, 'DROP EXTENSION pg_mirage CASCADE; CREATE EXTENSION pg_mirage; '
	  . "SELECT dp_protect('folk', epsilon => 20)", db => 'again');
make_model($node, 'm', db => 'again');
is($same->query($take), '3', 'the extension made again: a release of the same session') for 1 .. 3;
served_by($node, 'postgres', $old, 'by the same worker', 'again');
audit_ok($node, 'the log is whole', db => 'again');
$same->close;
in_no_way('DROP DATABASE again', 'dropped');

audit_ok($node, 'the log is whole');
isnt(workers($node), '', 'workers linger');
my $length = -s $node->logfile;
$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $length), qr/terminating background worker "pg_mirage/,
	'a shutdown is no failure of workers that idle');

# ---------------------------------------------------------------- slots

# One slot for us, the other is the server's own (of logical replication).
my $tight = new_node('tight', conf => "max_worker_processes = 3\npg_mirage.worker_linger = 60s\n"
	  . "max_logical_replication_workers = 0\npg_mirage.worker_timeout = 5s\nmax_parallel_workers = 0\n");
value($tight, undef, "CREATE ROLE r$_ LOGIN") for 1 .. 6;
make_gate($tight);
people($tight, 'folk', 200);
value($tight, undef, "SELECT dp_protect('folk', epsilon => 20)");
make_model($tight, 'm');
value($tight, undef, "SELECT dp_grant('m', ('r' || g)::regrole) FROM generate_series(1, 6) g");
is(value($tight, "r$_", $take), '3', "three slots, six logins in turn: $_") for 1 .. 6;
cmp_ok(value($tight, undef, "SELECT count(*) $lingering"), '<=', 1, 'one worker stays, no more');
my $gate = hold_gate($tight);
train_gated($tight, 'g1');
train_gated($tight, 'g2');
is(value($tight, 'r1', $take), '3', 'two slots are taken by trainings: a release has the third');
is(value($tight, 'r2', $take), '3', 'and one of another login, too');
my $job = train_gated($tight, 'g3', workers => 3);
ok($job, 'a training has it, whoever idles there');
$gate->close;
ok(await($tight, "SELECT count(*) FROM dp_jobs WHERE state = 'running'", 0), 'all come to their end');
is(value($tight, undef, "SELECT count(*) FROM dp_jobs WHERE state <> 'done'"), '0', 'and none failed');
$tight->stop;

done_testing();
