# Workers that linger, meant ill: logins that change their names and rights between two releases, cancels that come too
# late, workers that do not run, locks that somebody holds, storms of signals, servers with one slot, a standby.
use strict;
use warnings;

use Mirage;
use Test::More;
use Time::HiRes 'sleep';

# Far longer than anything here waits, and no limit that these storms would meet.
my $conf = "pg_mirage.worker_linger = 60s\npg_mirage.max_releases_per_minute = 0\n";
my $node = new_node('hostile', conf => $conf);

sub make_model
{
	my ($n, $model, %o) = @_;
	my $role = exists $o{role} ? $o{role} : 'owner';
	value($n, $role, "SET client_min_messages = warning; SELECT dp_train('$model', 'folk', method => 'independent', "
		  . 'epsilon => 0.5)');
}

sub furnish
{
	my ($n) = @_;
	value($n, undef, 'CREATE ROLE owner LOGIN; GRANT CREATE ON SCHEMA public TO owner; CREATE ROLE team; '
		  . 'CREATE ROLE reader LOGIN; '
		  . join('; ', map { "CREATE ROLE r$_ LOGIN IN ROLE team" } 1 .. 4));
	people($n, 'folk', 300, owner => 'owner');
	value($n, 'owner', "SELECT dp_protect('folk', epsilon => 20)");
	make_model($n, $_) for 'm', 'other';
	value($n, 'owner', "SELECT dp_grant('m', 'reader'), dp_grant('m', 'team'), dp_grant('other', 'reader')");
}

furnish($node);
value($node, undef, 'CREATE ROLE boss LOGIN SUPERUSER; CREATE ROLE alice');

my $take = "SELECT count(age) FROM dp_synthesize('m', 3) AS t(age int)";
my $take_other = "SELECT count(age) FROM dp_synthesize('other', 3) AS t(age int)";
my $ours = "FROM pg_stat_activity WHERE backend_type = 'pg_mirage release'";
my $last = "SELECT role_name || ' by ' || session_role FROM mirage.log WHERE action = 'release' "
  . 'ORDER BY id DESC LIMIT 1';

sub worker_of
{
	my ($user) = @_;
	return value($node, undef, "SELECT coalesce(min(pid), 0) $ours AND usename = '$user'");
}

sub all_gone
{
	value($node, undef, "SELECT count(pg_terminate_backend(pid)) $ours");
	await($node, "SELECT count(*) $ours", 0) or die 'workers do not go';
}

# ---------------------------------------------------------------- who it is

my $boss = session($node, 'boss');
value($node, 'owner', "SELECT dp_grant('m', 'alice')");
$boss->query("SET SESSION AUTHORIZATION alice; $take");
is(value($node, undef, $last), 'alice by alice', 'a superuser who acts as another: both are in the log');
my $boss_worker = worker_of('boss');
value($node, undef, 'ALTER ROLE alice RENAME TO alma; CREATE ROLE alice');
is($boss->query($take), '3', 'that role gets another name, and another role its own: a release in the same session');
is(value($node, undef, $last), 'alma by alma', 'is its, not that of who has the name now');
value($node, 'owner', "SELECT dp_grant('m', 'alice')");
my $boss2 = session($node, 'boss');
$boss2->query("SET SESSION AUTHORIZATION alice; $take");
is(worker_of('boss'), $boss_worker, 'the same worker, and settings that read the same');
is(value($node, undef, $last), 'alice by alice', 'are not those of the role that had the name before');
value($node, 'owner', "SELECT dp_grant('m', 'alma')");
$boss->query($take);
is(value($node, undef, $last), 'alma by alma', 'nor the other way round');
$_->close for $boss, $boss2;

my $s = session($node, 'reader');
is($s->query($take), '3', 'a login');
for my $lingering (1, 0)
{
	my $how = $lingering ? 'by a worker that was there' : 'by a new one';
	value($node, undef, 'ALTER ROLE reader RENAME TO renamed; CREATE ROLE reader LOGIN');
	all_gone() if !$lingering;
	is($s->query($take), '3', "renamed, with another role in its place: served, $how");
	is(value($node, undef, $last), 'renamed by renamed', 'under the name that it has');
	value($node, undef, 'DROP ROLE reader; ALTER ROLE renamed RENAME TO reader');
}

# ---------------------------------------------------------------- a cancel that comes too late

my $grant_row = "BEGIN; SELECT 1 FROM mirage.model_grant g JOIN mirage.model m ON m.id = g.model "
  . "WHERE m.name = 'm' AND grantee_name = 'reader' FOR UPDATE OF g";
my $locked = "SELECT count(*) $ours AND usename = 'reader' AND wait_event_type = 'Lock'";
my $blocker = session($node, undef);
my $other = session($node, 'reader');
all_gone();
$blocker->query($grant_row);
$s->start($take);
ok(await($node, $locked, 1), 'a release whose worker was started for it');
kill 'STOP', $s->pid;
$blocker->query('ROLLBACK');
ok(await($node, "SELECT count(*) $ours AND usename = 'reader' AND state = 'idle'", 1),
	'its caller does not run; the worker is done, and lingers');
$blocker->query($grant_row);
$other->start($take);
ok(await($node, $locked, 1), 'and is at the release of another');
value($node, undef, 'SELECT pg_cancel_backend(' . $s->pid . ')');
kill 'CONT', $s->pid;
$s->failed_with('57014', undef, 'the first is cancelled');
$blocker->query('ROLLBACK');
is($other->finish, '3', 'and not the other with it');

# ---------------------------------------------------------------- workers that do not run, or wait

# Both would otherwise wait for as long as their worker does.
$_->query("SET statement_timeout = '30s'") for $s, $other;
my $pid = worker_of('reader');
ok(await($node, "SELECT state = 'idle' $ours AND pid = $pid"), 'a worker idles');
kill 'STOP', $pid;
is($s->query($take), '3', 'and does not run: nobody waits for it for long');
kill 'CONT', $pid;
$blocker->query('BEGIN; LOCK TABLE mirage.log_block IN EXCLUSIVE MODE');
is($s->query($take), '3', 'where the log cannot be chained');
ok(await($node, $locked =~ s/count\(\*\)/count(*) > 0/r), 'a worker waits for that in a quiet moment');
is($s->query($take), '3', 'and the next release not with it') for 1 .. 3;
ok(await($node, "SELECT count(*) $ours AND wait_event_type = 'Lock'", 0),
	'nor do workers, which others may need, for long');
$blocker->query('ROLLBACK');
is($s->query($take), '3', 'when it can be');
ok(await($node, 'SELECT bool_and(block IS NOT NULL) FROM dp_audit_log'), 'all of it is chained');
$s->query('RESET statement_timeout');

# ---------------------------------------------------------------- storms

# A login that is cancelled and terminated again and again, one that goes on beside it, and the configuration read anew.
my $many = 'DO $$ BEGIN FOR i IN 1 .. 400 LOOP '
  . "PERFORM count(age) FROM dp_synthesize('m', 3) AS t(age int); END LOOP; END \$\$";
$s->start(join(";\n", ($take) x 300));
my $cancelled = 0;
for my $round (1 .. 30)
{
	my $x = $round % 3 ? $other : session($node, 'reader');
	my $how = $round % 3 ? 'cancel' : 'terminate';
	$x->start($many);
	sleep(0.005 + 0.03 * rand);
	value($node, undef, "SELECT pg_${how}_backend(" . $x->pid . ')' . ($round % 5 ? '' : ', pg_reload_conf()'));
	$x->finish;
	$cancelled++ if $x->err =~ /57014|57P01/;
}
my $rows = () = $s->finish =~ /^3$/mg;
is($rows, 300, 'three hundred releases in a storm of cancels, terminations and reloads: none is hit');
is($s->err, '', 'by anything');
is($cancelled, 30, 'and each cancel meets whom it is meant for');
is( value($node, undef, 'SELECT count(*) = count(DISTINCT l.id) AND count(*) = (SELECT count(*) FROM mirage.issuance) '
		  . 'AND count(*) = (SELECT count(*) FROM mirage.receipt WHERE issuance IS NOT NULL) '
		  . "FROM mirage.issuance i JOIN mirage.log l ON l.action = 'release' AND l.detail->>'issuance' = i.id::text"),
	't', 'each issuance has its entry and its receipt, once');

# One grant for four logins, whose workers all draw on it, each for several sessions at once.
value($node, 'owner', "SELECT dp_grant('other', 'team', max_rows => 300)");
my @s = map { session($node, 'r' . (1 + $_ % 4)) } 0 .. 15;
$_->start(join(";\n", ("BEGIN;\n$take_other;\nROLLBACK") x 10)) for @s;
my ($good, $refused, $errors) = (0, 0, 0);
for (@s)
{
	$good += () = $_->finish =~ /^3$/mg;
	$refused += () = $_->err =~ /ERROR:\s+54000/g;
	$errors += () = $_->err =~ /ERROR/g;
	$_->close;
}
is("$good $refused $errors", '100 60 60', 'four logins, one limit: exactly what it allows, the others are refused');
is(value($node, undef, "SELECT sum(requested_rows) FROM mirage.issuance WHERE grantee_name = 'team'"),
	'300', 'and on record');

# ---------------------------------------------------------------- the extension, under plans that are kept

my $same = session($node, undef);
is($same->query($take), '3', 'a superuser') for 1 .. 3;
is($same->query("ALTER TABLE mirage.issuance ADD COLUMN later int; $take"), '3', 'a column more, as an update may add');
is($same->query("ALTER TABLE mirage.issuance DROP COLUMN later; $take"), '3', 'a column less');
my $again = 'DROP EXTENSION pg_mirage CASCADE; CREATE EXTENSION pg_mirage;';
is($same->query("BEGIN; SET LOCAL client_min_messages = error; $again ROLLBACK; $take"),
	'3', 'dropped and made, and not');
is($same->query("SET client_min_messages = error; $again "
		  . "DO \$\$ BEGIN PERFORM dp_protect('folk', epsilon => 20); END \$\$"), '', 'dropped and made in one session');
make_model($node, 'm', role => undef);
is($same->query($take), '3', 'which goes on') for 1 .. 3;
audit_ok($node, 'the log is whole');
is( value($node, undef, 'SELECT count(*), count(*) FILTER (WHERE a.name LIKE \'% of \' || e.extversion) '
		  . "FROM pg_shmem_allocations a, pg_extension e WHERE a.name LIKE 'pg_mirage%' AND e.extname = 'pg_mirage'"),
	'2|2', 'the tables in shared memory are those of one version of the library');

# ---------------------------------------------------------------- keys

my $key = $node->data_dir . '/pg_mirage.key';
rename $key, "$key.away" or die $key;
$same->start($take);
$same->failed_with('F0000', qr/master key/, 'without the key file nothing is released, whoever lingers');
rename "$key.away", $key;
is($same->query($take), '3', 'with it again');
value($node, undef, 'SELECT dp_rotate_key()');
unlink glob "$key.?*";
is($same->query($take), '3', 'the new key, and no other, is what a worker that was there uses');

# ---------------------------------------------------------------- shutdown

isnt(value($node, undef, "SELECT count(*) $ours"), '0', 'workers linger');
$_->close for $s, $other, $blocker, $same;
$node->stop('smart');
pass('and a smart shutdown does not wait for them');

# ---------------------------------------------------------------- one slot

my $one = new_node('one', conf => $conf . "max_worker_processes = 1\nmax_logical_replication_workers = 0\n"
	  . "max_connections = 20\nsuperuser_reserved_connections = 1\n");
furnish($one);
@s = map { session($one, 'r' . (1 + $_ % 4)) } 0 .. 11;
$_->start(join(";\n", ($take) x 3)) for @s;
make_model($one, 'beside');
pass('a training beside releases of four logins, on a server with one slot');
my $n = 0;
$n += () = $_->finish =~ /^3$/mg for @s;
is($n, 36, 'none of which fails');
$_->close for @s;
$one->stop;

# ---------------------------------------------------------------- a standby that is promoted

my $primary = new_node('primary', conf => $conf, init => { allows_streaming => 1 });
furnish($primary);
is(value($primary, 'reader', $take), '3', 'on the primary a worker lingers');
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
chmod 0600, $standby->data_dir . '/pg_mirage.key'; # the copy of the backup that this test makes has others
$standby->start;
$primary->wait_for_catchup($standby);
my $there = session($standby, 'reader');
$there->start($take);
$there->failed_with('25006', qr/standby/, 'not on a standby');
$primary->stop;
$standby->promote;
is($there->query($take), '3', 'and when that is promoted, in the same session') or diag($there->err) for 1 .. 3;
is(value($standby, undef, "SELECT count(*) $ours AND usename = 'reader'"), '1', 'by a worker that lingers there');
$there->close;
$standby->stop;

done_testing();
