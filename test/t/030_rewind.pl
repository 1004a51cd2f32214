# A ledger that was rewound: by recovery to an earlier moment, an old dump, a failover to a standby that was behind,
# or DROP EXTENSION. The high-water mark, a signed file outside of the cluster, shows it; no training then runs until
# an administrator acknowledges it, and what was lost counts again.
use strict;
use warnings;

use Mirage;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $ours = "SET client_min_messages = warning";

sub marks
{
	my @marks = sort(glob("$dir/$_[0].*"));
	return @marks;
}

# A server made from a backup, with the key file as the server left it: the copy that the test suite makes of a
# backup loses modes.
sub made_from
{
	my ($name, $of, $backup, %o) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);

	$new->init_from_backup($of, $backup, %o);
	chmod(0600, glob($new->data_dir . '/pg_mirage.key*'));
	return $new;
}

sub charged { return value($_[0], undef, "SELECT count(*) FROM dp_ledger", @_[1 .. $#_]); }

# Training is refused for the mark's sake, and nothing is charged.
sub held_up
{
	my ($node, $pattern, $name, %o) = @_;
	my $before = charged($node, %o);
	my $relation = $o{relation} // 'folk';
	my $err = refused($node, undef, "SELECT dp_train('held', '$relation', epsilon => 0.1)",
		'MG001', $pattern, $name, %o);

	is(charged($node, %o), $before, "$name: nothing is charged");
	return $err;
}

sub acknowledge
{
	my ($node, $lost, $name, %o) = @_;

	is(value($node, 'chief', "SELECT dp_acknowledge_rewind('$name')", %o), $lost,
		"$name: acknowledged, $lost charges were lost");
}

sub used
{
	my ($node, $budget, %o) = @_;
	return value($node, undef, "SELECT used FROM dp_budgets WHERE name = '$budget'", %o);
}

sub as_much_used
{
	my ($node, $budget, $want, $name, %o) = @_;
	my $got = used($node, $budget, %o);

	ok($got ne '' && $got >= $want && $got < $want + 1e-9, $name) or diag("used: $got, wanted $want");
}

# ---------------------------------------------------------------- the mark

my $node = new_node('first', init => { allows_streaming => 1, has_archiving => 1 });
value($node, undef, 'CREATE ROLE owner LOGIN; CREATE ROLE chief LOGIN IN ROLE mirage_admin; CREATE ROLE guest LOGIN; '
	  . 'GRANT CREATE ON SCHEMA public TO owner');
people($node, 'folk', 300, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 40), dp_grant_budget('folk', 'guest', 2)");
can_train($node, 'owner', 'm0', 'folk', 'without the setting');
is(scalar(() = marks('mark')), 0, 'there is no mark');
refused($node, 'chief', "SELECT dp_acknowledge_rewind('x')", '55000', qr/no high-water mark is kept/,
	'and nothing to acknowledge');

configure($node, high_water_file => "$dir/mark");
can_train($node, 'owner', 'm1', 'folk', 'with it', epsilon => 1);
my ($mark, @more) = marks('mark');
is(scalar(@more), 0, 'there is one mark, and nothing else');
like($mark, qr/mark\.[0-9a-f]{16}$/, 'with the ledger\'s own name');
is(sprintf('%04o', (stat $mark)[2] & 07777), '0600', 'for the server alone');
my $first = slurp($mark);
can_train($node, 'owner', 'm2', 'folk', 'another training', epsilon => 1);
isnt(slurp($mark), $first, 'moves it');
is(value($node, undef, "SELECT count(*) FROM dp_audit_log WHERE action = 'high-water mark'"), '1',
	'the log says that marks are written');
audit_ok($node, 'and verifies');
refused($node, 'chief', "SELECT dp_acknowledge_rewind('x')", '55000', qr/no rewind/,
	'there is nothing to acknowledge');
refused($node, 'owner', "SELECT dp_acknowledge_rewind('x')", '42501', undef, 'not for an owner anyway');
refused($node, 'owner', "SELECT dp_train('beyond', 'folk', epsilon => 39.9)", '54000', undef,
	'what is refused for another reason');
refused($node, 'owner', "SELECT dp_train('m2', 'folk', epsilon => 0.1)", '42710', undef, 'or another');
can_train($node, 'owner', 'm3', 'folk', 'leaves no trace in it');

# Many at once: each finds its own charge in the mark.
my @sessions = map { session($node, undef) } 1 .. 6;
$sessions[$_]->start("$ours; SELECT dp_train('many$_', 'folk', epsilon => 0.1) > 0") for 0 .. $#sessions;
is(join(',', map { $_->finish } @sessions), 't,t,t,t,t,t', 'many trainings at once');
$_->close for @sessions;
is(scalar(() = marks('mark')), 1, 'leave one mark');
can_train($node, 'owner', 'm4', 'folk', 'which the next one finds good');

# ---------------------------------------------------------------- recovery to an earlier moment

$node->backup('early');
can_train($node, 'owner', 'm5', 'folk', 'a training after the base backup');
value($node, undef, "SELECT pg_create_restore_point('point')");
my $kept = charged($node);
can_train($node, 'owner', 'lost1', 'folk', 'a training after the moment', epsilon => 1.5);
can_train($node, 'guest', 'lost2', 'folk', 'one of a share', epsilon => 1);
people($node, 'later', 200, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('later', epsilon => 5, unit => 'id')");
can_train($node, 'owner', 'lost3', 'later', 'one of a budget that is younger than the moment', epsilon => 2);
my %was = map { $_ => used($node, $_) } 'folk', 'later';
my $highest = value($node, undef, 'SELECT max(charge) FROM mirage.ledger');
my $segment = value($node, undef, 'SELECT pg_walfile_name(pg_current_wal_lsn())');
value($node, undef, 'SELECT pg_switch_wal()');
await($node, "SELECT last_archived_wal >= '$segment' FROM pg_stat_archiver") or die 'nothing is archived';

my $back = made_from('back', $node, 'early', has_restoring => 1, standby => 0);
$back->append_conf('postgresql.conf',
	"recovery_target_name = 'point'\nrecovery_target_action = 'promote'\narchive_mode = off\n");
$back->start;
await($back, 'SELECT NOT pg_is_in_recovery()') or die 'it does not come up';
is(charged($back), $kept, 'recovered to the moment, the ledger lacks what came after it');
audit_ok($back, 'and is whole for all that it can tell');
my $err = held_up($back, qr/ledger is behind its high-water mark.*lacks 3 of the \d+ charges/s, 'the mark can tell');
like(hint_of($err), qr/dp_acknowledge_rewind/, 'the hint says what to do');
like(slurp($back->logfile), qr/job \d+ ended: the ledger is behind/, 'the server\'s log has it');
is(value($back, 'owner', "SELECT count(*) FROM dp_synthesize('m1', 5) AS t(age int)"), '5',
	'rows are given out all the same');
refused($back, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.1)", 'MG001', undef,
	'the owner is refused as well');
refused($back, 'owner', "SELECT dp_acknowledge_rewind('it is fine')", '42501', undef,
	'an owner cannot acknowledge it');
refused($back, 'chief', 'SELECT dp_acknowledge_rewind(NULL)', '22004', undef, 'nor an administrator without a note');
refused($back, 'chief', "SELECT dp_acknowledge_rewind('  ')", '22023', undef, 'or with an empty one');
value($back, 'chief', "BEGIN; SELECT dp_acknowledge_rewind('never mind'); ROLLBACK");
held_up($back, qr/lacks 3/, 'an acknowledgement that is rolled back is none');
refused($back, undef, "BEGIN; SELECT dp_acknowledge_rewind('soon'); SELECT dp_train('x', 'folk', epsilon => 0.1)",
	'55P03', undef,
	'nor does it help who has not committed it');
acknowledge($back, 3, 'recovered to the moment before the disk failed');
as_much_used($back, $_, $was{$_}, "as much is used of budget $_ as before") for 'folk', 'later';
is(value($back, undef,
	"SELECT string_agg(concat_ws(' ', budget, coalesce(share, '-'), round(epsilon::numeric, 6), state), ', ' "
		  . "ORDER BY id) FROM dp_ledger WHERE model = '(lost in a rewind)'"),
	'folk - 1.500000 spent, folk guest 1.000000 spent, later - 2.000000 spent',
		'what was lost is charged, to shares too');
refused($back, 'guest', "SELECT dp_train('x', 'folk', epsilon => 1.9)", '54000', qr/share of "guest"/,
	'the share is as far gone as it was');
is(value($back, undef,
	"SELECT session_role || ': ' || (detail->>'note') || ', ' || (detail->>'lost_charges') FROM dp_audit_log "
		  . "WHERE action = 'acknowledge rewind'"),
	'chief: recovered to the moment before the disk failed, 3', 'the log says who acknowledged what');
is(value($back, undef, "SELECT min(id) > $highest FROM dp_ledger WHERE model = '(lost in a rewind)'"), 't',
	'no number is given twice');
refused($back, 'chief', "SELECT dp_acknowledge_rewind('again')", '55000', qr/acknowledged already/, 'once is enough');
can_train($back, 'owner', 'm6', 'folk', 'training goes on');
audit_ok($back, 'and so does the log');
refused($back, 'chief', "SELECT dp_acknowledge_rewind('again')", '55000', qr/no rewind/,
	'with nothing to acknowledge');
people($back, 'later', 200, owner => 'owner');
refused($back, 'owner', "SELECT dp_protect('later', epsilon => 5)", '42710', undef,
	'a table that was lost gets no fresh budget');
refused($back, undef, "SELECT dp_protect('later', budget => 'later')", '55000', qr/another kind/,
	'but the one that it had, whose units are what they were');
quietly($back, undef, "SELECT dp_protect('later', budget => 'later', unit => 'id')", 'so they are named again');
refused($back, undef, "SELECT dp_train('x', 'later', epsilon => 4.9)", '54000', undef, 'with what was spent of it');
can_train($back, undef, 'later2', 'later', 'and what was not');

# The server that was given up is still there.
held_up($node, qr/behind.*lacks/s, 'the server that was given up is refused');
$node->stop;

# ---------------------------------------------------------------- a mark that cannot be trusted, or is not there

my $good = slurp($mark);
rename($mark, "$mark.away") or die;
$err = held_up($back, qr/mark is missing/, 'without its mark');
like(hint_of($err), qr/file back.*dp_acknowledge_rewind/, 'there is a hint');
rename("$mark.away", $mark) or die;
for my $bad (['a bit', do { my $b = $good; substr($b, 60, 1) ^= "\x01"; $b }],
	['its signature', do { my $b = $good; substr($b, -1, 1) ^= "\x80"; $b }],
	['its end', substr($good, 0, -1)], ['everything', ''], ['all but a few bytes', "hello\n"])
{
	spit($mark, $bad->[1]);
	held_up($back, qr/damaged/, "a mark that lost $bad->[0]");
}
spit($mark, $good);
chmod(0, $mark);
$err = held_up($back, qr/could not read the high-water mark/, 'a mark that cannot be read');
chmod(0600, $mark);
unlink($mark);
mkdir($mark);
held_up($back, qr/could not read/, 'a folder in its place');
rmdir($mark);
spit($mark, $good);
can_train($back, 'owner', 'm7', 'folk', 'put back, all is well');
rename($dir, "$dir.away") or die;
held_up($back, qr/mark is missing/, 'a volume that is not mounted');
rename("$dir.away", $dir) or die;

# An acknowledgement is of what was found, not of what comes later.
spit($mark, 'one');
acknowledge($back, 0, 'the file was overwritten');
spit($mark, 'two');
held_up($back, qr/damaged/, 'another damage is another');
unlink($mark);
held_up($back, qr/missing/, 'and so is a loss');
acknowledge($back, 0, 'the volume was lost');
can_train($back, 'owner', 'm8', 'folk', 'acknowledged, a new mark is begun');
is(scalar(() = marks('mark')), 1, 'there it is');
unlink($mark);
held_up($back, qr/missing/, 'that one may not be lost either');
acknowledge($back, 0, 'lost again');
can_train($back, 'owner', 'm9', 'folk', 'and on it goes');
audit_ok($back, 'the log is whole');

# ---------------------------------------------------------------- a mark that cannot be written: nothing was read

chmod(0500, $dir);
my ($used, $before) = (used($back, 'folk'), slurp($mark));
refused($back, 'owner', "SELECT dp_train('unwritten', 'folk', epsilon => 0.1)", '58030',
	qr/could not write the high-water mark/,
	'a mark that cannot be written');
refused($back, 'owner', "SELECT dp_train('unwritten2', 'folk', epsilon => 0.1, wait => false)", '58030', undef,
	'nobody is told that it was');
is(value($back, undef,
	"SELECT string_agg(model || ':' || state, ',' ORDER BY id) FROM dp_ledger WHERE model LIKE 'unwritten%'"),
	'unwritten:released,unwritten2:released', 'the charge is released');
is(used($back, 'folk'), $used, 'and does not count');
chmod(0700, $dir);
is(slurp($mark), $before, 'the mark is what it was');
can_train($back, 'owner', 'unwritten', 'folk', 'when it can be written, training works');
is(scalar(() = glob("$dir/*")), 1, 'no half-written file is left');
for my $path ('mark', $back->data_dir . '/mark')
{
	configure($back, high_water_file => $path);
	refused($back, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.1)", 'F0000',
		qr/outside of the data directory/,
		'a mark within the cluster is no mark');
}
configure($back, high_water_file => "$dir/elsewhere");
held_up($back, qr/missing/, 'nor is another path a way around it');
configure($back, high_water_file => "$dir/mark");

# ---------------------------------------------------------------- an old dump

my $dump = $back->basedir . '/dump';
$back->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $back->connstr('postgres') ], 'a dump');
can_train($back, 'owner', 'm10', 'folk', 'a training after it', epsilon => 0.5);
$used = used($back, 'folk');
value($back, undef, 'CREATE DATABASE copy');
my @copy = (db => 'copy');
$back->run_log([ 'pg_restore', '-d', $back->connstr('copy'), $dump ]);
quietly($back, undef, "SELECT dp_protect('folk', budget => 'folk')", 'restored as another database', @copy);
ok(used($back, 'folk', @copy) < $used, 'the ledger lacks a charge');
held_up($back, qr/another copy of this ledger.*lacks 1 of/s, 'which the mark has', @copy);
can_train($back, 'owner', 'm11', 'folk', 'the first database goes on');
$used = used($back, 'folk');
acknowledge($back, 2, 'the copy takes its place', @copy);
as_much_used($back, 'folk', $used, 'as much is used in the copy', @copy);
can_train($back, undef, 'c1', 'folk', 'the copy can train', epsilon => 0.5, @copy);
audit_ok($back, 'its log is whole', @copy);
held_up($back, qr/another copy of this ledger.*lacks 1 of/s, 'now the first database is refused');
$used = used($back, 'folk', @copy);
acknowledge($back, 1, 'and back again');
as_much_used($back, 'folk', $used, 'with what the copy spent');
can_train($back, 'owner', 'm12', 'folk', 'it trains');
audit_ok($back, 'its log is whole, too');

# ---------------------------------------------------------------- a ledger thrown away

$used = used($back, 'folk');
value($back, undef, "$ours; DROP EXTENSION pg_mirage CASCADE; CREATE EXTENSION pg_mirage");
value($back, 'owner', "SELECT dp_protect('folk', epsilon => 10)");
held_up($back, qr/has had a ledger before.*lacks/s, 'dropping the extension is a rewind to nothing');
like(value($back, 'chief', "SELECT dp_acknowledge_rewind('the extension was made again')"), qr/^[1-9]\d*$/,
	'it is acknowledged');
as_much_used($back, 'folk', $used, 'nothing is refunded');
can_train($back, 'owner', 'n1', 'folk', 'training begins again');
audit_ok($back, 'with a log of its own');
is(scalar(() = grep { !/retired$/ } marks('mark')), 1, 'and a mark of its own');
is(scalar(() = grep { /retired$/ } marks('mark')), 1, 'in the place of the old one');
can_train($back, 'owner', 'n2', 'folk', 'which the next one finds good');
$back->stop;

# ---------------------------------------------------------------- standbys

my $primary = new_node('primary', init => { allows_streaming => 1 },
	conf => "pg_mirage.high_water_file = '$dir/fail'\n");
value($primary, undef, 'CREATE ROLE chief LOGIN IN ROLE mirage_admin');
people($primary, 'folk', 300);
value($primary, undef, "SELECT dp_protect('folk', epsilon => 10)");
$primary->backup('zero');
can_train($primary, undef, 's1', 'folk', 'a primary');
$primary->backup('b');
my ($near, $far) = map { made_from($_, $primary, 'b', has_streaming => 1) } 'near', 'far';
$_->start for $near, $far;
can_train($primary, undef, 's2', 'folk', 'with two standbys');
$primary->wait_for_catchup($_, 'replay', $primary->lsn('write')) for $near, $far;
$far->stop;
value($primary, undef, "ALTER SYSTEM SET synchronous_standby_names = 'near'");
$primary->reload;
await($primary, "SELECT sync_state = 'sync' FROM pg_stat_replication");
can_train($primary, undef, 's3', 'folk', 'one of them synchronous, the other away', epsilon => 1);
$used = used($primary, 'folk');
my $ledger = charges($primary, 'folk');
refused($near, undef, "SELECT dp_train('x', 'folk', epsilon => 0.1)", '25006', undef, 'a standby does not train');
refused($near, undef, "SELECT dp_acknowledge_rewind('x')", '25006', undef, 'nor acknowledge');
$primary->stop('immediate');

value($near, undef, 'SELECT 1');
$near->append_conf('postgresql.conf', "synchronous_standby_names = ''\n");
$near->promote;
value($near, undef, "ALTER SYSTEM RESET synchronous_standby_names");
$near->reload;
is(charges($near, 'folk') =~ s/s3:reserved/s3:spent/r, $ledger, 'the synchronous standby has the whole ledger');
can_train($near, undef, 's4', 'folk', 'and goes on with the same mark');
audit_ok($near, 'and with the log');
is(value($near, undef, "SELECT count(*) FROM dp_audit_log WHERE action = 'acknowledge rewind'"), '0',
	'without anybody\'s help');
$used = used($near, 'folk');
$near->stop;

$far->start;
$far->promote;
is(charges($far, 'folk'), 's1:spent, s2:spent', 'the other standby lost charges');
held_up($far, qr/behind its high-water mark.*lacks 2 of the 4/s, 'and the mark shows it');
acknowledge($far, 2, 'failed over to a standby that was behind');
as_much_used($far, 'folk', $used, 'they count again');
can_train($far, undef, 's5', 'folk', 'it trains');
audit_ok($far, 'its log is whole');

# Who comes back is behind.
$near->start;
held_up($near, qr/behind its high-water mark/, 'the one that comes back late is refused');

# A backup from before the first training, which made the key: nothing of the old account is there but its mark.
my $zero = made_from('zero', $primary, 'zero');
$used = used($far, 'folk');
ok(!-e $zero->data_dir . '/pg_mirage.key', 'a backup from before the first training has no key');
$zero->start;
is(used($zero, 'folk'), '0', 'and no charge');
held_up($zero, qr/has had a ledger before.*lacks 5 of the 5/s,
	'is behind the mark of an account that it does not know');
acknowledge($zero, 5, 'restored the first backup');
as_much_used($zero, 'folk', $used, 'what that account charged counts');
can_train($zero, undef, 'z1', 'folk', 'it trains');
audit_ok($zero, 'its log is whole');
held_up($far, qr/missing/, 'and the last of the others is refused');
$_->stop for $near, $far, $zero;

done_testing();
