# Limits of grants under pressure: exactly the quota is given out to many sessions at once, whether they commit or
# not, whichever
# way the right came to them; and a decision ends releases for good. Then what a dump carries over, and whose name
# is on the rows behind a pooler.
use strict;
use warnings;

use Mirage;
use Test::More;

my $sessions = 16;
my $node = new_node('quota');

value($node, undef, <<'EOC');
CREATE ROLE owner LOGIN;
GRANT CREATE ON SCHEMA public TO owner;
CREATE ROLE readers NOLOGIN;
CREATE ROLE leaders NOLOGIN;
CREATE ROLE admin LOGIN IN ROLE mirage_admin;
EOC
value($node, undef, "CREATE ROLE reader_$_ LOGIN IN ROLE readers") for 1 .. $sessions;
people($node, 'folk', 1000, owner => 'owner');
value($node, 'owner', "SET client_min_messages = warning; SELECT dp_protect('folk', epsilon => 20); "
	  . "SELECT dp_train('m', 'folk', method => 'independent', epsilon => 1)");

sub given
{
	my ($model, $grantee) = @_;
	return value($node, undef,
		"SELECT coalesce(sum(rows), 0), count(*) FROM dp_issuances WHERE model = '$model' AND grantee = '$grantee'");
}

# ---------------------------------------------------------------- exactly the quota

my @readers = map { "reader_$_" } 1 .. $sessions;
my $take = "SELECT count(age) FROM dp_synthesize('m', 10) AS t(age int)";

value($node, 'owner', "SELECT dp_grant('m', 'readers', max_rows => 57)");
is(outcome(all_at_once($node, \@readers, ($take) x @readers)), '54000:11 ok:5',
	'sixteen at once, room for five: five get rows');
is(given('m', 'readers'), '50|5', 'and no row more was given out');
my $unmade = "BEGIN; SELECT count(age) FROM dp_synthesize('m', 7) AS t(age int); ROLLBACK";
is(outcome(all_at_once($node, \@readers, ($unmade) x @readers)),
	'54000:15 ok:1',
	'ROLLBACK gives nothing back: of sixteen that roll back, the one for whom there is room');
is(given('m', 'readers'), '57|6', 'which uses the grant up');
is(value($node, 'reader_3', 'SELECT used, remaining FROM dp_grants'), '57|0', 'as its holders see');
refused($node, 'reader_1', "SELECT dp_synthesize('m', 1)", '54000', qr/57 rows in all/, 'nothing is left');

# Rows that are not read, and statements that fail on the way, count like others.
value($node, 'owner', "SELECT dp_grant('m', 'readers', max_rows => 157)");
my $abandon = "BEGIN; DECLARE c CURSOR FOR SELECT age FROM dp_synthesize('m', 10) AS t(age int); FETCH 1 FROM c; "
  . "SELECT 1 / 0; ROLLBACK";
is(outcome(all_at_once($node, \@readers, ($abandon) x @readers)), '22012:10 54000:6',
	'ten reach their own error, six the limit');
is(given('m', 'readers'), '157|16', 'the grant is used up again, exactly');

# In any interval: when it has passed there is room again, for as many and not for more. Nobody waits for the clock
# here: what was given out is
# made older.
value($node, 'owner', "SELECT dp_grant('m', 'readers', max_rows => 30, per => '1 hour')");
refused($node, 'reader_1', "SELECT dp_synthesize('m', 1)", '54000', qr/within .*1.*hour|01:00:00/,
	'within the hour there is none');
my $last = value($node, undef, 'SELECT max(id) FROM mirage.issuance');
my $move = sub {
	my ($by) = @_;
	value($node, undef, "ALTER TABLE mirage.issuance DISABLE TRIGGER refuse_change; "
		  . "UPDATE mirage.issuance SET issued_at = issued_at + interval '$by' WHERE id <= $last; "
		  . "ALTER TABLE mirage.issuance ENABLE ALWAYS TRIGGER refuse_change");
};
$move->('-2 hours');
is(outcome(all_at_once($node, \@readers, ($take) x @readers)), '54000:13 ok:3',
	'an hour later there is room for three');
is(value($node, 'reader_3', 'SELECT used, remaining FROM dp_grants'), '30|0', 'which the window shows');

is(value($node, undef, 'SET client_min_messages = error; SELECT ok FROM dp_verify_audit()'), 'f',
	'which verification would have found');
$move->('2 hours');

# Two grants that confine to the same are drawn on together, and each to its end.
value($node, undef, 'GRANT leaders TO ' . join(', ', @readers));
value($node, 'owner',
	"SELECT dp_grant('m', 'leaders', max_rows => 40); SELECT dp_grant('m', 'readers', max_rows => 207)");
is(outcome(all_at_once($node, \@readers, ($take) x @readers)), '54000:10 ok:6',
	'room for two in one grant and for four in another');
is(given('m', 'leaders') . ' ' . given('m', 'readers'), '40|4 207|21', 'both are used up, neither beyond');

# The same role from sixteen sessions, through a function of the owner's: the owner's own right has no limit, and
# the rows are the caller's.
value($node, 'owner',
	"CREATE FUNCTION through() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public AS "
	  . "\$\$SELECT count(age) FROM dp_synthesize('m', 3) AS t(age int)\$\$");
is(outcome(all_at_once($node, 'reader_2', ('SELECT through()') x $sessions)), "ok:$sessions", 'a definer\'s right');
is(value($node, undef,
	"SELECT count(*), string_agg(DISTINCT recipient, ','), string_agg(DISTINCT role, ','), count(grantee) "
	  . "FROM dp_issuances WHERE rows = 3"), "$sessions|reader_2|owner|0",
		'is the definer\'s, whose name is on the rows is the caller\'s');

# ---------------------------------------------------------------- decisions against releases

value($node, 'owner', "SELECT dp_grant('m', 'readers')");
my @s = map { session($node, $_) } @readers;
$_->start("DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM dp_synthesize('m', 1); END LOOP; END \$\$") for @s;
await($node, "SELECT count(*) > 20 FROM dp_issuances WHERE rows = 1");
value($node, 'admin', "SELECT dp_withdraw('m', 'enough')");
my $then = value($node, undef, "SELECT count(*), max(id) FROM mirage.issuance");
$_->finish for @s;
is(outcome(@s), "55000:$sessions", 'a withdrawal ends releases that are in full swing');
is(value($node, undef, 'SELECT count(*), max(id) FROM mirage.issuance'), $then,
	'none is recorded once it has committed');
value($node, undef, "SELECT dp_approve('m', 'on with it')");

$_ = session($node, $readers[0]) for @s[ 0 .. 3 ];
$_->start("DO \$\$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM dp_synthesize('m', 1); END LOOP; END \$\$") for @s[ 0 .. 3 ];
my $before = value($node, undef, 'SELECT count(*) FROM mirage.issuance');
await($node, "SELECT count(*) > $before + 8 FROM mirage.issuance");
value($node, 'owner', "SELECT dp_revoke('m', 'readers'), dp_revoke('m', 'leaders')");
$then = value($node, undef, "SELECT count(*), max(id) FROM mirage.issuance");
is(outcome(map { $_->finish; $_ } @s[ 0 .. 3 ]), '42501:4', 'and so does a revocation');
is(value($node, undef, 'SELECT count(*), max(id) FROM mirage.issuance'), $then, 'at once');

# Uncommitted grants are no right, and their maker is told so.
value($node, undef, 'GRANT owner TO reader_1');
refused($node, 'reader_1',
	"BEGIN; SET ROLE owner; SELECT dp_grant('m', 'readers'); SET ROLE readers; SELECT dp_synthesize('m', 1)", '55000',
	qr/made by this transaction.*Commit first/s, 'a grant of one\'s own open transaction');
value($node, undef, 'REVOKE owner FROM reader_1');

# ---------------------------------------------------------------- approval by the site's setting

$node->append_conf('postgresql.conf', 'pg_mirage.require_approval = on');
$node->reload;
await($node, 'SHOW pg_mirage.require_approval', 'on');
refused($node, 'owner', "SELECT dp_synthesize('m', 0); SET pg_mirage.require_approval = off", '55P02', undef,
	'nobody turns it off for a session');
value($node, 'owner',
	"SET client_min_messages = error; SET pg_mirage.require_approval = off; "
	  . "SELECT dp_train('site', 'folk', method => 'independent', epsilon => 1)");
refused($node, 'owner', "SELECT dp_synthesize('site', 1)", '55000', qr/state is "pending"/,
	'a new model waits, whatever was set before the library was there');
quietly($node, 'owner', "SELECT dp_synthesize('m', 1)", 'an older one does not');
value($node, 'admin', "SELECT dp_approve('site', 'looked at it')");
quietly($node, 'owner', "SELECT dp_synthesize('site', 1)", 'until it is approved');
# A setting that is turned on while a training runs counts for its model.
$node->append_conf('postgresql.conf', 'pg_mirage.require_approval = off');
$node->reload;
await($node, 'SHOW pg_mirage.require_approval', 'off');
make_gate($node);
my $gate = hold_gate($node);
my $job = train_gated($node, 'late');
$node->append_conf('postgresql.conf', 'pg_mirage.require_approval = on');
$node->reload;
await($node, 'SHOW pg_mirage.require_approval', 'on');
$gate->close;
is(value($node, undef, "SELECT dp_wait($job)"), 'done', 'a training that was running then ends');
is(value($node, undef, "SELECT state FROM dp_models WHERE name = 'late'"), 'pending', 'and its model waits');
$node->append_conf('postgresql.conf', 'pg_mirage.require_approval = off');
$node->reload;
await($node, 'SHOW pg_mirage.require_approval', 'off');

# ---------------------------------------------------------------- behind a pooler

value($node, undef,
	'CREATE ROLE pooler LOGIN; CREATE ROLE ann NOLOGIN; CREATE ROLE bob NOLOGIN; GRANT ann, bob TO pooler');
value($node, 'owner', "SELECT dp_grant('m', 'ann', max_rows => 10); SELECT dp_grant('m', 'bob')");
value($node, 'admin', "SELECT dp_allow_claims('pooler')");
my $pooled = session($node, 'pooler');
for my $client ('ann', 'bob')
{
	$pooled->query("SET ROLE $client; SET pg_mirage.recipient = '$client\@example.org'");
	is($pooled->query("SELECT count(age) FROM dp_synthesize('m', 10) AS t(age int)"), '10',
		"$client, through a pooler");
	$pooled->query('RESET ROLE; RESET pg_mirage.recipient');
}
$pooled->query("SET ROLE ann; SET pg_mirage.recipient = 'bob\@example.org'");
$pooled->start("SELECT dp_synthesize('m', 1)");
$pooled->failed_with('54000', qr/"ann"/, 'a limit is the role\'s, whoever is claimed');
$pooled->close;
is(value($node, undef,
	"SELECT string_agg(concat_ws(' ', role, recipient, claimed, grantee), ', ' ORDER BY id) "
	  . "FROM dp_issuances WHERE claimed"),
	'ann ann@example.org t ann, bob bob@example.org t bob', 'each release names its client, as a claim');
is(value($node, undef,
	"SELECT count(*) FROM dp_audit_log WHERE action = 'release' AND (detail ->> 'claimed')::boolean"), '2',
	'in the log, too');
value($node, undef, 'ALTER ROLE pooler RENAME TO gateway; CREATE ROLE pooler LOGIN; GRANT bob TO pooler');
quietly($node, 'gateway', "SET pg_mirage.recipient = 'x'; SET ROLE bob; SELECT dp_synthesize('m', 1)",
	'the right follows the role under its new name');
refused($node, 'pooler', "SET pg_mirage.recipient = 'x'; SET ROLE bob; SELECT dp_synthesize('m', 1)", '42501',
	qr/may not say whom/,
	'and the old name is nobody');

# ---------------------------------------------------------------- roles that come and go

value($node, undef, 'CREATE ROLE temp LOGIN');
value($node, 'owner', "SELECT dp_grant('m', 'temp', max_rows => 5)");
quietly($node, 'temp', "SELECT dp_synthesize('m', 5)", 'a role uses its grant up');
value($node, undef, 'ALTER ROLE temp RENAME TO perm');
refused($node, 'perm', "SELECT dp_synthesize('m', 1)", '54000', undef, 'another name is no other grant');
value($node, 'owner', "SELECT dp_grant('m', 'perm', max_rows => 6)");
is(value($node, undef, "SELECT string_agg(grantee, ',') FROM dp_grants WHERE grantee IN ('temp', 'perm')"), 'perm',
	'granted anew, it is one grant');
is(value($node, 'perm', 'SELECT used, remaining FROM dp_grants'), '5|1', 'which holds what was used');
value($node, undef, 'DROP ROLE perm; CREATE ROLE perm LOGIN');
refused($node, 'perm', "SELECT dp_synthesize('m', 1)", '42501', undef, 'a new role of the old name has no grant');
is(value($node, undef, "SELECT live FROM dp_grants WHERE grantee = 'perm'"), 'f', 'which is shown as dead');
audit_ok($node, 'the log is whole');

# ---------------------------------------------------------------- dump and restore

my $file = $node->basedir . '/dump';
my $counts = 'SELECT (SELECT count(*) FROM mirage.issuance), (SELECT count(*) FROM mirage.decision), '
  . '(SELECT count(*) FROM mirage.claimant)';
my $was = value($node, undef, $counts);
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $node->connstr('postgres') ], 'a dump');
my $key = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/pg_mirage.key');
my $to = new_node('restored', bare => 1);
value($to, undef, 'CREATE ROLE padding');    # so that OIDs differ
value($to, undef, "CREATE ROLE $_ LOGIN") for ('ann', 'bob', 'owner', 'gateway', 'admin');
PostgreSQL::Test::Utils::append_to_file($to->data_dir . '/pg_mirage.key', $key);
chmod(0600, $to->data_dir . '/pg_mirage.key') or die $!;
$to->command_ok([ 'pg_restore', '--no-owner', '-d', $to->connstr('postgres'), $file ], 'is restored');
value($to, undef, 'GRANT mirage_admin TO admin; GRANT ann TO gateway');
is(value($to, undef, $counts), $was, 'with all issuances, decisions and claimants');
refused($to, 'ann', "SELECT dp_synthesize('m', 1)", '42501', undef, 'grants are dead there');
is(value($to, undef, "SELECT count(*) FROM dp_grants WHERE live"), '0', 'and shown so');
refused($to, 'gateway', "SET pg_mirage.recipient = 'x'; SET ROLE ann; SELECT dp_synthesize('m', 1)", '42501', undef,
	'claimants as well');
value($to, undef, "SELECT dp_grant('m', 'ann', max_rows => 12)");
refused($to, 'ann', "SELECT dp_synthesize('m', 3)", '54000', undef,
	'granted anew, a grant holds what was used before the dump');
quietly($to, 'ann', "SELECT dp_synthesize('m', 2)", 'and serves what is left');
is(value($to, undef, "SELECT used, remaining, live FROM dp_grants WHERE grantee = 'ann'"), '12|0|t', 'exactly');
like(value($to, undef, "SELECT card ->> 'decisions' FROM dp_models WHERE name = 'm'"), qr/enough.*on with it/s,
	'the card has its decisions');
is(value($to, undef, "SELECT state FROM dp_models WHERE name = 'late'"), 'pending', 'what waited goes on waiting');
$to->stop;
$node->stop;
done_testing();
