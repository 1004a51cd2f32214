# Watching: limits on refused calls and on rates hold across sessions, ROLLBACK and exception blocks; alerts are rows,
# log entries, warnings of the server and notifications, one of a kind and role in a window; and the recording never
# changes the error that a refused call ends with.
use strict;
use warnings;

use Mirage;
use Test::More;
use Time::HiRes 'time';

my $watched = <<'EOC';
pg_mirage.max_failures = 5
autovacuum = off
log_min_messages = warning
EOC
my $node = new_node('watch', watched => 1, conf => $watched);

# A setting in the configuration file, in force: as SHOW has it, where that differs.
sub set
{
	my ($name, $value, $shown) = @_;

	$shown //= $value;
	$node->append_conf('postgresql.conf', "$name = '$value'\n");
	$node->reload;
	await($node, "LOAD 'pg_mirage'; SHOW $name", $shown) or die "$name is not set";
}

sub alerts
{
	my ($kind, $role) = @_;
	return value($node, undef, "SELECT count(*) FROM dp_alerts WHERE kind = '$kind' AND role = '$role'");
}

sub raised
{
	my ($kind, $role, $name) = @_;
	ok(await($node, "SELECT count(*) FROM dp_alerts WHERE kind = '$kind' AND role = '$role'", '1'), $name);
}

my $logged = 0;

# Lines of the server's log since the last look.
sub log_since
{
	my $all = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	my $new = substr($all, $logged);

	$logged = length($all);
	return $new;
}

value($node, undef, <<'EOC');
CREATE ROLE consumer LOGIN;
CREATE ROLE stranger LOGIN;
CREATE ROLE other LOGIN;
CREATE ROLE auditor LOGIN IN ROLE mirage_auditor;
CREATE ROLE admin LOGIN IN ROLE mirage_admin;
CREATE ROLE owner LOGIN;
CREATE ROLE fast LOGIN;
CREATE ROLE greedy LOGIN;
CREATE ROLE steady LOGIN;
CREATE ROLE prober LOGIN;
CREATE ROLE late LOGIN;
CREATE ROLE looper LOGIN;
CREATE ROLE pooler LOGIN;
GRANT CREATE ON SCHEMA public TO owner;
GRANT other TO stranger;
GRANT owner TO greedy;
EOC
people($node, 'folk', 300, owner => 'owner');
value($node, 'owner', "SET client_min_messages = warning; SELECT dp_protect('folk', epsilon => 2); "
	  . "SELECT dp_train('m', 'folk', 'mst', 1); "
	  . join(' ', map { "SELECT dp_grant('m', '$_');" } qw(consumer fast steady prober pooler)));

# ---------------------------------------------------------------- refused calls

my $listener = session($node, 'auditor');
$listener->query('LISTEN pg_mirage');
log_since();
my $denied = "SELECT * FROM dp_synthesize_as(NULL::folk, 'm', 5)";
refused($node, 'stranger', $denied, '42501', undef, 'a call without a right is refused');
refused($node, 'stranger', "BEGIN; $denied; ROLLBACK", '42501', undef, 'in a transaction that is rolled back, too');
quietly($node, 'stranger', "DO \$\$ BEGIN PERFORM dp_synthesize('m', 1); EXCEPTION WHEN OTHERS THEN NULL; END \$\$",
	'and where the error is caught');
refused($node, 'stranger', "SELECT dp_train('x', 'folk')", '42501', undef, 'nor does it train');
is(value($node, undef, 'SELECT count(*) FROM dp_alerts'), '0', 'four refused calls are no alert');
refused($node, 'stranger', "SELECT dp_synthesize('nothing', 1)", '42704', undef, 'the fifth ends in its own error');
raised('refused calls', 'stranger', 'and raises an alert');
for my $sql ($denied, "SELECT dp_synthesize('m', 1)", "SELECT dp_train('x', 'folk')", "SELECT * FROM dp_plan('folk')",
	"SET ROLE other; $denied", "SELECT dp_materialize('m', 'mine')")
{
	refused($node, 'stranger', $sql, '53400', qr/too many calls of role "stranger".*HINT.*in \d+ seconds/s,
		"the role is shut out: $sql");
}
refused($node, 'stranger', $denied, '53400', undef, 'however often it tries') for 1 .. 10;
is(value($node, 'consumer', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 5)"), '5', 'others are not');
refused($node, 'other', $denied, '42501', undef, 'nor is the role that it took on');
is(alerts('refused calls', 'stranger'), '1', 'there is one alert');

# The alert: a row, an entry, a line, a notification.
is(value($node, 'auditor', "SELECT kind, role, object, detail->>'count', detail->>'seconds', detail->>'last', "
	  . "acknowledged_at FROM dp_alerts"), 'refused calls|stranger||5|600|42704|', 'the row says what happened');
is(value($node, 'admin', 'SELECT count(*) FROM dp_alerts'), '1', 'an administrator sees it');
is(value($node, $_, 'SELECT count(*) FROM dp_alerts'), '0', "$_ does not") for qw(stranger consumer owner);
is(value($node, 'auditor', "SELECT object, detail->>'role', role FROM dp_audit_log WHERE action = 'alert'"),
	'refused calls|stranger|postgres', 'the log has it');
is(value($node, 'stranger', "SELECT count(*) FROM dp_audit_log WHERE action = 'alert'"), '0',
	'where who caused it does not read it');
my $lines = log_since();
is(scalar(() = $lines =~ /WARNING:\s+pg_mirage alert 1: refused calls$/mg), 1, 'one warning in the server\'s log');
my $heard = $listener->query('SELECT 1');
like($heard, qr/Asynchronous notification "pg_mirage" with payload "\{"kind": "refused calls", "id": 1\}"/,
	'whoever listens is told the kind and the number');
unlike($heard, qr/stranger/, 'and nobody\'s name');
is(scalar(() = $heard =~ /Asynchronous/g), 1, 'once');
my (undef, undef, $err) = run_as($node, 'other', "SET client_min_messages = debug1; $denied");
unlike($err, qr/alert/i, 'the client is told nothing of alerts');

# A superuser is counted, not shut out.
refused($node, undef, "SELECT dp_synthesize('nothing', 1)", '42704', undef, 'a superuser is refused') for 1 .. 7;
raised('refused calls', 'postgres', 'which raises an alert');

# The window ends.
set('pg_mirage.failure_window', '1s');
ok(served('stranger', '42501'), 'after the window the role is served again: its calls have their own errors');
set('pg_mirage.failure_window', '600s', '10min');

sub served
{
	my ($role, $state) = @_;
	my $end = time + 60;

	while (time < $end)
	{
		my (undef, undef, $said) = run_as($node, $role, $denied);

		return 1 if $said =~ /ERROR:\s+$state:/;
		select(undef, undef, undef, 0.1);
	}
	return 0;
}

# Many sessions at once: each refused call counts, once.
set('pg_mirage.max_failures', 40);
my @crowd = map { session($node, 'prober') } 1 .. 8;
for (1 .. 5)
{
	$_->start("SELECT dp_synthesize('nothing', 1)") for @crowd;
	$_->finish for @crowd;
}
refused($node, 'prober', "SELECT dp_synthesize('nothing', 1)", '53400', undef,
	'forty refused calls of eight sessions are forty');
$_->close for @crowd;
raised('refused calls', 'prober', 'and one alert');
is(value($node, undef, "SELECT detail->>'count' FROM dp_alerts WHERE role = 'prober'"), '40', 'which counts them');

# One statement: what it catches counts, and an error that passes several calls counts once.
my $loop = "FOR i IN 1..%d LOOP BEGIN PERFORM dp_synthesize('nothing', 1); EXCEPTION WHEN undefined_object THEN NULL; "
  . "END; END LOOP;";
quietly($node, 'looper', sprintf("DO \$\$ BEGIN $loop END \$\$", 39), 'a loop that catches 39 refusals');
refused($node, 'looper', "SELECT dp_materialize('nothing', 'mine')", '42704', undef, 'and one more, by two calls');
refused($node, 'looper', $denied, '53400', undef, 'are forty');
raised('refused calls', 'looper', 'and an alert');
is(value($node, undef, "SELECT detail->>'count' FROM dp_alerts WHERE role = 'looper'"), '40', 'of forty');

# Off is off.
set('pg_mirage.max_failures', 0);
is(value($node, 'prober', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 5)"), '5',
	'without a limit nobody is shut out');

# ---------------------------------------------------------------- other kinds

refused($node, 'owner', "SELECT dp_train('big', 'folk', epsilon => 50)", '54000', undef, 'no room in the budget')
  for 1 .. 4;
is(alerts('budget refusals', 'owner'), '0', 'four times is no alert');
refused($node, 'owner', "SELECT dp_train('big', 'folk', epsilon => 50)", '54000', undef, 'no room in the budget');
raised('budget refusals', 'owner', 'five times is one');

is(value($node, 'auditor', "SELECT ok FROM dp_verify_audit('1:" . '0' x 64 . "')"), 'f',
	'a head that the log does not have');
raised('audit verification failed', 'auditor', 'raises an alert');
value($node, 'auditor', "SELECT ok FROM dp_verify_audit('1:" . '0' x 64 . "')") for 1 .. 3;

my $receipt = value($node, 'consumer', "SELECT dp_receipt(1)");
(my $forged = $receipt) =~ s/consumer/somebody/ or die $receipt;
is(value($node, 'consumer', "SELECT dp_verify_receipt('$receipt')"), 't', 'a receipt');
is(value($node, 'consumer', "SELECT dp_verify_receipt('$forged')"), 'f', 'that was altered') for 1 .. 2;
is(alerts('receipt verification failed', 'consumer'), '0', 'twice is no alert');
is(value($node, 'consumer', "SELECT dp_verify_receipt('$forged')"), 'f', 'and altered');
raised('receipt verification failed', 'consumer', 'three times is one');

my $key = $node->data_dir . '/pg_mirage.key';
rename($key, "$key.away") or die $!;
refused($node, 'consumer', "SELECT dp_synthesize('m', 1)", 'F0000', undef, 'no key, no rows') for 1 .. 3;
raised('configuration failure', 'consumer', 'raises an alert, without a key');
rename("$key.away", $key) or die $!;
is(value($node, 'consumer', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 5)"), '5',
	'and shuts nobody out');

my $marks = PostgreSQL::Test::Utils::tempdir();
set('pg_mirage.high_water_file', "$marks/mark");
can_train($node, 'owner', 'marked', 'folk', 'a training leaves a mark', epsilon => 0.1);
unlink(glob("$marks/*")) or die $!;
refused($node, 'owner', "SELECT dp_train('later', 'folk', epsilon => 0.1)", 'MG001', undef, 'which is missed')
  for 1 .. 2;
raised('rewind', 'owner', 'and raises an alert');
set('pg_mirage.high_water_file', '');
is(alerts('audit verification failed', 'auditor'), '1', 'none is raised twice');

value($node, undef, "SET pg_mirage.alerts = off; SELECT ok FROM dp_verify_audit('1:" . '0' x 64 . "')");
value($node, undef, "SELECT ok FROM dp_verify_audit('1:" . '0' x 64 . "')") for 1;
is(alerts('audit verification failed', 'postgres'), '0', 'who turns alerts off has used up the first of the window');

# ---------------------------------------------------------------- rates

set('pg_mirage.max_releases_per_minute', 3);
is(value($node, 'fast', "BEGIN; SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 2); ROLLBACK"), '2',
	'a release that is rolled back');
is(value($node, 'fast', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 2)"), '2', 'one more') for 1 .. 2;
my $workers = "SELECT count(*) FROM mirage.issuance WHERE recipient = 'fast'";
refused($node, 'fast', "SELECT dp_synthesize('m', 2)", '53400', qr/all releases of this minute/,
	'the fourth of the minute is refused') for 1 .. 3;
is(value($node, undef, $workers), '3', 'nothing was recorded for it');
is(value($node, undef, "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 2)"), '2',
	'a superuser is not limited') for 1 .. 5;
set('pg_mirage.max_releases_per_minute', 0);

set('pg_mirage.max_rows_per_hour', 1000);
@crowd = map { session($node, 'greedy') } 1 .. 12;
# held where their issuances are inserted and none is committed: who counts then without waiting for others counts
# too little
my $holder = session($node, undef);
$holder->query('BEGIN; LOCK TABLE mirage.use_day IN EXCLUSIVE MODE');
$_->start("BEGIN; SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 110); ROLLBACK") for @crowd;
await($node, "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted "
	  . "AND backend_type = 'pg_mirage release'", '12') or die;
$holder->query('COMMIT');
$holder->close;
my $got = grep { $_->finish =~ /^110$/m } @crowd;
my $over = grep { $_->err =~ /ERROR:\s+53400:\s+"greedy" would have more rows than 1000 in an hour/ } @crowd;
$_->close for @crowd;
is("$got $over", '9 3', 'of twelve sessions that ask for 110 rows each, nine have them within 1000 an hour');
is(value($node, undef, "SELECT sum(requested_rows) FROM mirage.issuance WHERE recipient = 'greedy'"), '990',
	'whatever they roll back');
refused($node, 'greedy', "SELECT dp_synthesize('m', 11)", '53400', undef, 'eleven more are too many');
is(value($node, 'greedy', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 10)"), '10', 'ten are not');
refused($node, 'greedy', "SELECT dp_synthesize('m', 9223372036854775807)", '53400', undef, 'no number overflows');
is(value($node, undef, "SELECT count(*) FROM (SELECT dp_synthesize('m', 2000)) x"), '2000',
	'a superuser is not limited');
value($node, 'admin', "SELECT dp_allow_claims('pooler')");
for my $who (qw(ann greedy))
{
	my $ask = "SET pg_mirage.recipient = '$who'; SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 600)";

	is(value($node, 'pooler', $ask), '600', "$who, as a pooler names it, has a limit of its own");
	refused($node, 'pooler', $ask, '53400', qr/"$who" would have more/, 'and reaches it');
}
set('pg_mirage.max_rows_per_hour', 0);

# ---------------------------------------------------------------- rows far above a role's history

set('pg_mirage.alert_rows', 5000);
set('pg_mirage.alert_rows_factor', 3);
value($node, undef, "INSERT INTO mirage.use_day SELECT 'steady', false, (now() AT TIME ZONE 'UTC')::date - d, 1, "
	  . "CASE WHEN d = 31 THEN 1e6 ELSE 4000 - d END FROM generate_series(1, 31) d");
value($node, 'steady', "SELECT dp_synthesize('m', 6000) LIMIT 1; SELECT dp_synthesize('m', 5997) LIMIT 1");
is(alerts('unusual rows', 'steady'), '0', 'three times the largest day of the last thirty is usual');
value($node, 'steady', "SELECT dp_synthesize('m', 1) LIMIT 1") for 1 .. 3;
is(alerts('unusual rows', 'steady'), '1', 'more is not, and is said once');
is(value($node, undef, "SELECT object, detail->>'today', detail->>'largest_day' FROM dp_alerts WHERE role = 'steady'"),
	'm|11998|3999', 'with what it is compared to');
value($node, 'consumer', "SELECT dp_synthesize('m', 4000) LIMIT 1");
is(alerts('unusual rows', 'consumer'), '0', 'few rows are no alert, whatever came before');
value($node, 'consumer', "BEGIN; SELECT dp_synthesize('m', 4000) LIMIT 1; ROLLBACK");
is(alerts('unusual rows', 'consumer'), '1', 'many of somebody new are, rolled back or not');

# ---------------------------------------------------------------- no worker to be had

set('pg_mirage.max_failures', 3);
make_gate($node, rows => 50, epsilon => 100);
my $gate = hold_gate($node);
set('pg_mirage.worker_timeout', '100ms');
my $full = 0;
for my $i (1 .. 40)
{
	my ($rc, $out, $said) = run_as($node, undef, "SELECT dp_train('gate_$i', 'gated_v', 'independent', 0.1, "
		  . "wait => false)");

	next if $rc == 0;
	like($said, qr/53000/, 'all slots for workers are taken');
	$full = 1;
	last;
}
ok($full, 'none is left');
set('pg_mirage.worker_timeout', '60s', '1min');
log_since();
refused($node, 'late', "SET statement_timeout = '20s'; $denied", '42501', undef,
	'a refused call has its own error, at once') for 1 .. 3;
refused($node, 'late', "SET statement_timeout = '20s'; $denied", '53400', undef, 'and the limit holds');
is(alerts('refused calls', 'late'), '0', 'the alert waits for a worker');
$gate->close;
await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_mirage%'", '0') or die;
select(undef, undef, undef, 1.1); # asked for at most once a second
is(value($node, 'consumer', "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 5)"), '5', 'anybody\'s next call');
raised('refused calls', 'late', 'has it written');

# ---------------------------------------------------------------- acknowledging

my $id = value($node, 'auditor', "SELECT id FROM dp_alerts WHERE role = 'steady'");
refused($node, 'steady', "SELECT dp_acknowledge_alert($id, 'that was me')", '42501', undef,
	'it takes an auditor to acknowledge an alert');
refused($node, 'auditor', "SELECT dp_acknowledge_alert($id, ' ')", '22023', undef, 'and a note');
refused($node, 'auditor', "SELECT dp_acknowledge_alert(0, 'what')", '42704', undef, 'and an alert');
quietly($node, 'auditor', "BEGIN; SELECT dp_acknowledge_alert($id, 'too early'); ROLLBACK", 'a ROLLBACK takes it back');
quietly($node, 'auditor', "SELECT dp_acknowledge_alert($id, 'end of the quarter')", 'an auditor does');
is(value($node, 'admin', "SELECT acknowledged_by, note, acknowledged_at > at FROM dp_alerts WHERE id = $id"),
	'auditor|end of the quarter|t', 'who and why is seen');
refused($node, 'admin', "SELECT dp_acknowledge_alert($id, 'again')", '55000', undef, 'once');
for my $act ("UPDATE mirage.alert SET kind = ''", 'DELETE FROM mirage.alert', 'TRUNCATE mirage.alert',
	"UPDATE mirage.alert_acknowledged SET note = ''", 'DELETE FROM mirage.alert_acknowledged')
{
	refused($node, undef, "SET session_replication_role = replica; $act", '55000', qr/append-only/, $act);
}

# ---------------------------------------------------------------- restart, restore

audit_ok($node, 'the log is whole');
my $all = value($node, undef, 'SELECT * FROM dp_alerts ORDER BY id');
$node->restart;
is(value($node, undef, 'SELECT * FROM dp_alerts ORDER BY id'), $all, 'alerts outlive the server');
refused($node, 'late', $denied, '42501', undef, 'counters do not');

my $dump = "$marks/dump.sql";
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'a dump');
value($node, undef, 'CREATE DATABASE copy TEMPLATE template0');
$node->command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'restored');
is(value($node, undef, 'SELECT * FROM dp_alerts ORDER BY id', db => 'copy'), $all, 'has the alerts');
is(value($node, undef, "SELECT count(*) FROM mirage.use_day WHERE recipient = 'steady'", db => 'copy'), '32',
	'and the history');
refused($node, undef, 'DELETE FROM mirage.alert', '55000', undef, 'append-only', db => 'copy');
value($node, undef, "SELECT ok FROM dp_verify_audit('1:" . '0' x 64 . "')", db => 'copy');
ok(await($node, "SELECT count(*) FROM dp_alerts WHERE id > (SELECT max(id) FROM dp_alerts WHERE role <> 'postgres') "
	  . "AND kind = 'audit verification failed'", '1', db => 'copy'), 'numbering goes on');
$node->stop;

# ---------------------------------------------------------------- preloaded

my $loaded = new_node('preloaded', watched => 1,
	conf => "shared_preload_libraries = 'pg_mirage'\npg_mirage.max_failures = 2\n");
value($loaded, undef, 'CREATE ROLE stranger LOGIN');
refused($loaded, 'stranger', "SELECT dp_synthesize('m', 1)", '42704', undef, 'preloaded') for 1 .. 2;
refused($loaded, 'stranger', "SELECT dp_synthesize('m', 1)", '53400', undef, 'it counts as well');
ok(await($loaded, "SELECT count(*) FROM dp_alerts WHERE role = 'stranger'", '1'), 'and raises alerts');
$loaded->stop;
done_testing();
