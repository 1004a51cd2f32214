# What docs/operations.md says of base backups, pg_upgrade, a server that is shot, and temporary files without room:
# besides what other tests show.
use strict;
use warnings;

use Mirage;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $conf = "pg_mirage.high_water_file = '$dir/mark'\n";
my $node = new_node('old', init => { allows_streaming => 1 }, conf => $conf);

value($node, undef,
	'CREATE ROLE owner LOGIN; CREATE ROLE guest LOGIN; CREATE ROLE analyst LOGIN; '
	  . 'GRANT CREATE ON SCHEMA public TO owner');
people($node, 'folk', 500, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 10)");
can_train($node, 'owner', 'm', 'folk', 'a training', epsilon => 1);
value($node, 'owner', "SELECT dp_grant('m', 'guest'), dp_grant_budget('folk', 'analyst', 2)");

# ---------------------------------------------------------------- base backups

$node->backup('b');
my $copied = $node->backup_dir . '/b/pg_mirage.key';
is(-e $copied ? sprintf('%04o', (stat $copied)[2] & 07777) : 'none', '0600',
	'a base backup holds the key file of the data directory, readable for nobody else');

# ---------------------------------------------------------------- kill -9 of the postmaster

make_gate($node, epsilon => 10);
my $gate = hold_gate($node);
my $job = train_gated($node, 'shot');
my @backends = split(/\n/, value($node, undef, 'SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()'));
push @backends, $node->{_pid};
$node->kill9;
my $end = time + 60;
while (grep { kill(0, $_) } @backends)
{
	# they notice that they are alone, and somebody notices that the postmaster is dead
	die 'they live on' if time > $end;
	select(undef, undef, undef, 0.05);
}
ok($node->start(fail_ok => 1), 'after kill -9 of the postmaster the server starts');
$gate->close;
ok(await($node, "SELECT state FROM dp_jobs WHERE id = $job", 'orphaned'), 'the job is an orphan');
is(charges($node, 'gated'), 'shot:reserved', 'its charge stands');
can_train($node, undef, 'next', 'gated', 'the mark agrees: a new training works');
audit_ok($node, 'the log is whole');

# ---------------------------------------------------------------- no room for temporary files

value($node, undef, "CREATE TABLE big AS SELECT " . join(', ', map { "hashint4(i * 31 + $_) AS c$_" } 1 .. 12)
	  . " FROM generate_series(1, 600000) i; SELECT dp_protect('big', epsilon => 10)");
value($node, undef, "ALTER SYSTEM SET temp_file_limit = '1MB'");
$node->reload;
await($node, 'SHOW temp_file_limit', '1MB');
refused($node, undef,
	"SET pg_mirage.work_mem = '32MB'; SELECT dp_train('spilt', 'big', epsilon => 1, method => 'independent')", '53000',
	undef, 'without room for temporary files');
is(charges($node, 'big'), 'spilt:spent', 'a training ends, and its charge stands: rows had been read');
value($node, undef, 'ALTER SYSTEM RESET temp_file_limit');
$node->reload;
await($node, 'SHOW temp_file_limit', '-1');
quietly($node, undef, "SET client_min_messages = warning; SET pg_mirage.work_mem = '32MB'; "
	  . "SELECT dp_train('spilt', 'big', epsilon => 1, method => 'independent')", 'with room it works');
is(value($node, undef, "SELECT count(*) FROM pg_ls_tmpdir()"), '0', 'and leaves no temporary file behind');

# ---------------------------------------------------------------- pg_upgrade

my $ledger = value($node, undef, 'SELECT string_agg(l::text, E\'\n\' ORDER BY id) FROM mirage.ledger l');
my ($head, $used) = (value($node, undef, 'SELECT head FROM dp_verify_audit()'),
	value($node, undef, "SELECT used FROM dp_budgets WHERE name = 'folk'"));
my $new = new_node('new', bare => 1, conf => $conf);
$_->stop for $node, $new;
my $bin = $node->config_data('--bindir');
chdir($dir) or die;
my @no_sync = $node->pg_version >= 15 ? '--no-sync' : ();
$node->command_ok([ 'pg_upgrade', @no_sync, '-d', $node->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
	'-s',
		$new->host, '-p', $node->port, '-P', $new->port ], 'pg_upgrade');
chdir('/');
$new->start;
is(value($new, undef, 'SELECT string_agg(l::text, E\'\n\' ORDER BY id) FROM mirage.ledger l'), $ledger,
	'carries the ledger over');
is(value($new, undef, "SELECT ok FROM dp_verify_audit('$head')"), 't', 'and the log');
ok(!-e $new->data_dir . '/pg_mirage.key', 'but not a key file in the data directory');
refused($new, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.1)", 'F0000', qr/key/,
	'without which nothing is trained');
my $key = $new->data_dir . '/pg_mirage.key';
PostgreSQL::Test::Utils::system_or_bail('cp', $node->data_dir . '/pg_mirage.key', $key);
chmod(0600, $key) or die;
is(value($new, 'guest', "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)"), '5',
	'with it, grants work as before');
refused($new, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.1)", 'MG001',
	qr/another copy of this ledger.*No charge is lost/s,
	'the high-water mark is the old cluster\'s');
is(value($new, undef, "SELECT dp_acknowledge_rewind('pg_upgrade')"), '0', 'once that is acknowledged');
can_train($new, 'owner', 'after', 'folk', 'owners train under the same protection');
can_train($new, 'analyst', 'after2', 'folk', 'and holders of shares');
ok(value($new, undef, "SELECT used FROM dp_budgets WHERE name = 'folk'") > $used, 'on the same account');
audit_ok($new, 'the log goes on');
$new->stop;

done_testing();
