# Who a recipient is: the same role under another name is the same, another role under the same name is not. Keys,
# seeded rows, traces and records follow; so they do after parallel first releases, ROLLBACK, dump and restore.
use strict;
use warnings;

use Mirage;
use Test::More;

my $CERTAIN = 1e-6;
my $node = new_node('recipients', conf => "max_worker_processes = 40\n");
my @columns = map { "c$_" } 1 .. 10;
my $columns = join(', ', @columns);

value($node, undef, <<'EOC');
CREATE ROLE auditor LOGIN IN ROLE mirage_auditor;
CREATE ROLE admin LOGIN IN ROLE mirage_admin;
CREATE ROLE owner LOGIN;
GRANT CREATE ON SCHEMA public TO PUBLIC;
EOC
value($node, 'owner', 'SET client_min_messages = warning; CREATE TABLE wide AS SELECT '
	  . join(', ', map { "abs(hashint4(i * $_)) % 16 AS c$_" } 1 .. 10)
	  . " FROM generate_series(1, 3000) i; SELECT dp_protect('wide', epsilon => 30); "
	  . "SELECT dp_train('m', 'wide', epsilon => 10)");
value($node, undef, "CREATE SERVER s FOREIGN DATA WRAPPER pg_mirage_fdw; GRANT USAGE ON FOREIGN SERVER s TO PUBLIC; "
	  . 'CREATE FOREIGN TABLE f (' . join(', ', map { "$_ int" } @columns)
	  . ") SERVER s OPTIONS (model 'm', rows '500', seed '7'); GRANT SELECT ON f TO PUBLIC");

sub newcomer
{
	my ($name, %o) = @_;

	value($o{node} // $node, undef, "CREATE ROLE $name LOGIN; SELECT dp_grant('m', '$name')", %o);
}

# Rows of a seed, as the role (and claim) gets them by a call and by the foreign table.
my $print = "SELECT md5(string_agg(t::text, ',')) FROM dp_synthesize_as(NULL::wide, 'm', 500, seed => 7) t";
my $print_foreign = "SELECT md5(string_agg(t::text, ',')) FROM f t";

sub seeded
{
	my ($role, %o) = @_;
	my $set = $o{claim} ? "SET pg_mirage.recipient = '$o{claim}'; " : '';

	return value($o{node} // $node, $role, "$set$print; $print_foreign", %o);
}

# Rows that a recipient was given, as a table.
sub give
{
	my ($role, $table, %o) = @_;
	my $set = $o{claim} ? "SET pg_mirage.recipient = '$o{claim}'; " : '';

	value($node, $role, "${set}CREATE TABLE $table AS SELECT * FROM dp_synthesize_as(NULL::wide, 'm', 3000); "
		  . "GRANT SELECT ON $table TO PUBLIC");
	return id_of_last();
}

sub id_of_last { return value($node, undef, 'SELECT recipient_id FROM dp_issuances ORDER BY id DESC LIMIT 1'); }

# "name id role_now" of each recipient that is named for certain; what the caller was told beside.
my $told;

sub named
{
	my ($table, %o) = @_;
	my ($rc, $out, $err) = run_as($o{node} // $node, 'auditor', "SELECT recipient || ' ' || recipient_id || ' ' || "
		  . "coalesce(role_now, '-') FROM dp_trace('SELECT $columns FROM $table', 'm') WHERE p_value < $CERTAIN "
		  . 'AND recipient IS NOT NULL', %o);

	is($rc, 0, "$table is traced") or diag($err);
	$told = $err;
	return $out;
}

sub recorded
{
	my ($name, %o) = @_;

	return value($o{node} // $node, undef, "SELECT count(*), count(DISTINCT recipient_id) FROM mirage.recipient "
		  . "WHERE name = '$name'", %o);
}

# ---------------------------------------------------------------- another name, the same role

newcomer('ann');
my $ann = give('ann', 'from_ann');
my $anns = seeded('ann');

is(recorded('ann'), '1|1', 'a recipient is recorded once');
is(named('from_ann'), "ann $ann ann", 'and named');
unlike($told, qr/NOTICE/, 'as the one it is');
is(value($node, undef,
		"SELECT dp_receipt(max(id)) #>> '{mg:recipient,\@id}' FROM dp_issuances WHERE recipient = 'ann'"),
	"urn:uuid:$ann", 'its receipts say who it is');

value($node, undef, 'ALTER ROLE ann RENAME TO bea');
is(named('from_ann'), "ann $ann bea", 'renamed, it is named by the name that it had, with the new one beside');
unlike($told, qr/NOTICE/, 'which nobody else has');
is(seeded('bea'), $anns, 'its seeded rows stay what they were');
is(give('bea', 'from_bea'), $ann, 'it is the same recipient');
is(recorded('bea'), '1|1', 'under a new name, which is recorded');

# ---------------------------------------------------------------- the same name, another role

newcomer('ann');
my $second = give('ann', 'from_second');
isnt($second, $ann, 'a new role of the old name is another recipient');
isnt(seeded('ann'), $anns, 'with other rows for a seed');
is(recorded('ann'), '2|2', 'and a record of its own');
like(named('from_ann'), qr/^bea $ann bea$/, 'rows of the first are still its own');
is(named('from_second'), "ann $second ann", 'and those of the second the second\'s');

# That a recipient of this model has a name that somebody else has now is told.
newcomer('carl');
my $carl = give('carl', 'from_carl');
value($node, undef, 'ALTER ROLE carl RENAME TO dora');
newcomer('carl');
is(named('from_carl'), "carl $carl dora", 'a recipient of a name that was given away');
like($told, qr/NOTICE.*"carl" now is not the recipient.*"dora" now/s, 'is not confused with who has it');

value($node, undef, 'ALTER TABLE from_second OWNER TO auditor; DROP ROLE ann');
is(named('from_second'), "ann $second -", 'a role that was dropped is named');
unlike($told, qr/NOTICE/, 'and nobody is confused with it');
newcomer('ann');
is(named('from_second'), "ann $second -", 'nor is it its successor, before it has had rows');
like($told, qr/NOTICE.*"ann" now is not the recipient.*not exist any more/s, 'which is told');
isnt(give('ann', 'from_third'), $second, 'or after');
is(named('from_second'), "ann $second -", 'and the rows are the predecessor\'s');

# Two that exchange their names.
newcomer($_) for qw(left right);
my %was = map { $_ => [ give($_, "from_$_"), seeded($_) ] } qw(left right);
value($node, undef, 'ALTER ROLE left RENAME TO x; ALTER ROLE right RENAME TO left; ALTER ROLE x RENAME TO right');
is(seeded('left'), $was{right}[1], 'who exchange their names');
is(seeded('right'), $was{left}[1], 'keep their rows');
value($node, undef, 'ALTER ROLE left RENAME TO x; ALTER ROLE right RENAME TO left; ALTER ROLE x RENAME TO right');
is(seeded('left'), $was{left}[1], 'also when they change them back');
is(recorded('left'), '3|2', 'each name is recorded whenever it is new');

# ---------------------------------------------------------------- claims

newcomer($_) for qw(pool other_pool);
value($node, 'admin', "SELECT dp_allow_claims('pool'), dp_allow_claims('other_pool')");
my $claim = give('pool', 'from_claim', claim => 'ann');
is(give('pool', 'more', claim => 'ann'), $claim, 'a claim is one recipient');
is(named('from_claim'), "claim:ann $claim pool", 'and named with who said so');
my $claims = seeded('pool', claim => 'ann');
isnt(seeded('other_pool', claim => 'ann'), $claims, 'what another login claims is another');
is(named('from_claim'), "claim:ann $claim pool", 'who is not accused');
isnt(seeded('pool'), $claims, 'nor is it the login itself');
value($node, undef, 'ALTER ROLE pool RENAME TO gateway');
is(seeded('gateway', claim => 'ann'), $claims, 'it goes on when the login has another name');
is(named('from_claim'), "claim:ann $claim gateway", 'which is shown');

# ---------------------------------------------------------------- parallel first releases, ROLLBACK

# A lock lets nobody record anything, until all have found that there is no record.
sub all_at_once
{
	my ($what, $want, @sessions) = @_;
	my $gate = session($node, undef);

	$gate->query('BEGIN; LOCK TABLE mirage.recipient IN SHARE ROW EXCLUSIVE MODE');
	$_->start($print) for @sessions;
	ok(await($node, "SELECT count(*) FROM pg_stat_activity a WHERE backend_type LIKE 'pg_mirage%' AND EXISTS "
		  . '(SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT granted)', $want), "$what wait");
	$gate->query('COMMIT');
	$gate->close;
	my @rows = map { $_->finish } @sessions;

	ok(!(grep { $_->err ne '' } @sessions), 'none fails') or diag(map { $_->err } @sessions);
	$_->close for @sessions;
	return @rows;
}

newcomer('rush');
my @rows = all_at_once('eight first releases of a role', 8, map { session($node, 'rush') } 1 .. 8);
is(scalar(grep { $_ eq $rows[0] } @rows), 8, 'all give the same rows for a seed');
is(recorded('rush'), '1|1', 'and there is one record');
is(value($node, undef, "SELECT count(*) FROM dp_audit_log WHERE action = 'recipient' AND object = 'rush'"), '1',
	'and one entry of it in the log');

my $rows_of_rush = seeded('rush');
newcomer('fresh_pool');
value($node, 'admin', "SELECT dp_allow_claims('fresh_pool')");
my @clients = map { session($node, 'fresh_pool') } 0 .. 7;
$clients[$_]->query("SET pg_mirage.recipient = 'client " . ($_ % 2) . "'") for 0 .. 7;
@rows = all_at_once('eight first claims of a new login', 8, @clients);
is(scalar(grep { $rows[$_] eq $rows[ $_ % 2 ] } 0 .. 7), 8, 'each client gets its own rows');
isnt($rows[0], $rows[1], 'which are not the other\'s');
is(recorded('client 0') . ' ' . recorded('client 1') . ' ' . recorded('fresh_pool'), '1|1 1|1 1|1',
	'and there is one record of each');

newcomer('undecided');
my $first = value($node, 'undecided', "BEGIN; $print; ROLLBACK");
is(value($node, 'undecided', $print), $first, 'a ROLLBACK takes nobody\'s identity back');
is(recorded('undecided'), '1|1', 'whose record stays');
value($node, undef, 'CREATE ROLE nobody LOGIN');
refused($node, 'nobody', $print, '42501', undef, 'who may have no rows');
is(recorded('nobody'), '0|0', 'is not recorded');
audit_ok($node, 'the log is whole');

# ---------------------------------------------------------------- grants, claims and shares of names that others had

# Which role holds what: by the role itself, whatever name its row is under.
my $standing = "SELECT string_agg(format('%s:%s', grantee_oid::regrole, max_rows), ' ' ORDER BY max_rows) "
  . 'FROM mirage.model_grant WHERE max_rows IS NOT NULL';
my $under = "SELECT string_agg(grantee_name, ' ' ORDER BY max_rows) FROM mirage.model_grant WHERE max_rows IS NOT NULL";

value($node, undef, "CREATE ROLE una LOGIN; SELECT dp_grant('m', 'una', 1001), dp_allow_claims('una'), "
	  . "dp_grant_budget('wide', 'una', 1); ALTER ROLE una RENAME TO due; CREATE ROLE una LOGIN");
value($node, undef, "SELECT dp_grant('m', 'una', 1002), dp_allow_claims('una'), dp_grant_budget('wide', 'una', 2)");
is(value($node, undef, $standing), 'due:1001 una:1002', 'a grant to a new role of the name leaves the old one its own');
is(value($node, undef, $under), 'due una', 'under the name that it has now');
is(value($node, undef, "SELECT string_agg(role_oid::regrole::text, ' ' ORDER BY role_name) FROM mirage.claimant "
	  . "WHERE role_name IN ('una', 'due')"), 'due una', 'so it is with claims');
is(value($node, undef, "SELECT string_agg(format('%s:%s', grantee_oid::regrole, epsilon), ' ' ORDER BY epsilon) FROM "
	  . 'mirage.share'), 'due:1 una:2', 'and shares');
quietly($node, $_, $print, "$_ has rows") for 'una', 'due';
value($node, undef, "SELECT dp_grant_budget('wide', 'due', 3)");
is(value($node, undef, "SELECT string_agg(format('%s:%s', grantee_oid::regrole, epsilon), ' ' ORDER BY epsilon) FROM "
	  . 'mirage.share'), 'una:2 due:3', 'a share that is granted again is the role\'s own');

# Three that pass their names on, each recorded under another's.
value($node, undef, "CREATE ROLE tre LOGIN; SELECT dp_grant('m', 'tre', 1003); ALTER ROLE una RENAME TO x; "
	  . 'ALTER ROLE tre RENAME TO una; ALTER ROLE due RENAME TO tre; ALTER ROLE x RENAME TO due');
is(value($node, undef, $standing), 'tre:1001 due:1002 una:1003', 'names passed on');
is(value($node, undef, $under), 'due una tre', 'are not recorded yet');
value($node, undef, "SELECT dp_grant('m', 'una', 1004)");
is(value($node, undef, $standing), 'tre:1001 due:1002 una:1004', 'until one of them is granted again');
is(value($node, undef, $under), 'tre due una', 'which leaves all three their grants');
value($node, undef, "ALTER ROLE tre RENAME TO x; ALTER ROLE due RENAME TO tre; ALTER ROLE x RENAME TO due; "
	  . "SELECT dp_revoke('m', 'due'), dp_allow_claims('due', false)");
is(value($node, undef, $standing), 'tre:1002 una:1004', 'and what is revoked is that role\'s, not that name\'s');
is(value($node, undef, "SELECT string_agg(role_oid::regrole::text, ' ') FROM mirage.claimant "
	  . "WHERE role_name IN ('una', 'due')"), 'tre', 'so it is with claims');
value($node, undef, "DROP ROLE tre; CREATE ROLE tre LOGIN; SELECT dp_grant('m', 'tre', 1005)");
is(value($node, undef, "SELECT string_agg(grantee_oid::regrole || ':' || max_rows, ' ') FROM mirage.model_grant "
	  . "WHERE grantee_name = 'tre'"), 'tre:1005', 'who comes after a role that is gone takes its place');
audit_ok($node, 'the log tells of all of it');

# ---------------------------------------------------------------- dump and restore

my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
value($node, undef, 'CREATE DATABASE twin');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('twin'), $dump ], 'is restored beside');
value($node, undef, "SELECT dp_grant('m', 'bea')", db => 'twin');
is(seeded('bea', db => 'twin'), $anns, 'roles of a cluster are the same in all its databases');
is(named('from_ann', db => 'twin'), "bea $ann bea", 'and named there');
audit_ok($node, 'where the log is whole', db => 'twin');

my $to = new_node('elsewhere', bare => 1);
my @oid = split(/\|/, value($node, undef, "SELECT 'bea'::regrole::oid, 'left'::regrole::oid, 'rush'::regrole::oid"));

# Elsewhere, "left" and "rush" have their OIDs by chance; "bea" another, and hers is a stranger's.
sub role_of_oid
{
	my ($name, $oid) = @_;

	value($to, undef, "DO \$\$ DECLARE r oid; BEGIN LOOP CREATE ROLE $name LOGIN; "
		  . "SELECT oid INTO r FROM pg_roles WHERE rolname = '$name'; EXIT WHEN r >= $oid; DROP ROLE $name; END LOOP; "
		  . 'END $$');
	is(value($to, undef, "SELECT '$name'::regrole::oid"), $oid, "a role \"$name\" of a certain OID");
}
my %chance = ($oid[0] => 'stranger', $oid[1] => 'left', $oid[2] => 'rush');
role_of_oid($chance{$_}, $_) for sort { $a <=> $b } keys %chance;
value($to, undef, "CREATE ROLE $_ LOGIN") for qw(bea right owner auditor admin gateway dora ann);
PostgreSQL::Test::Utils::append_to_file($to->data_dir . '/pg_mirage.key',
	PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/pg_mirage.key'));
chmod(0600, $to->data_dir . '/pg_mirage.key') or die $!;
$to->command_ok([ 'pg_restore', '-d', $to->connstr('postgres'), $dump ], 'the dump is restored elsewhere');
value($to, undef, 'GRANT mirage_auditor TO auditor; GRANT mirage_admin TO admin');
is(value($to, undef, 'SELECT count(*) FROM mirage.recipient'),
	value($node, undef, 'SELECT count(*) FROM mirage.recipient'), 'elsewhere there are all records');
is(named('from_ann', node => $to), "bea $ann -", 'who was given rows before is named, as nobody here');
like($told, qr/NOTICE.*"bea" now is not the recipient.*not exist any more/s, 'not the role of the name');
value($to, undef, "SELECT dp_grant('m', '$_')") for qw(bea stranger left right rush admin);
is(seeded('left', node => $to), $was{left}[1], 'the same name of the same OID is the same, as after pg_upgrade');
isnt(seeded('bea', node => $to), $anns, 'the same name of another OID is not');
isnt(seeded('stranger', node => $to), $anns, 'nor another name of the same OID');
is(named('from_ann', node => $to), "bea $ann -", 'and nobody of here is named for it');
is(named('from_left', node => $to) =~ s/.* //r, 'left', 'who is the same is known by the present name');
my $beas = seeded('bea', node => $to);
value($to, undef, 'ALTER ROLE bea RENAME TO zoe');
is(seeded('zoe', node => $to), $beas, 'and from then on a rename is followed here');

# An administrator may know who is who.
my $adopt = "SELECT dp_adopt_recipient('right', '$was{right}[0]')";
refused($to, 'auditor', $adopt, '42501', undef, 'that somebody is a recipient of before is not for all to say');
refused($to, 'admin', "SELECT dp_adopt_recipient('right', gen_random_uuid())", '42704', undef,
	'nor can it be said of nobody');
refused($to, 'admin', "SELECT dp_adopt_recipient('right', '$claim')", '42704', undef, 'or of a claim');
refused($to, 'admin', "SELECT dp_adopt_recipient('right', '$was{left}[0]')", '55000', qr/already/,
	'or of a recipient that a role is');
refused($to, 'admin', "SELECT dp_adopt_recipient('zoe', '$was{right}[0]')", '55000', qr/recipient of its own/,
	'or by a role that is another');
quietly($to, 'admin', "BEGIN; $adopt; ROLLBACK", 'it is undone by a ROLLBACK');
quietly($to, 'admin', $adopt, 'and holds when it is committed');
is(seeded('right', node => $to), $was{right}[1], 'the role has the rows that it had elsewhere');
is(named('from_right', node => $to), "right $was{right}[0] right", 'and is named as the same');
is(value($to, undef, "SELECT role, object, detail ->> 'recipient_id' FROM dp_audit_log WHERE action = "
	  . "'adopt recipient'"), "admin|right|$was{right}[0]", 'the log says by whose word');
my $rushs = "(SELECT recipient_id FROM dp_issuances WHERE recipient = 'rush' LIMIT 1)";
refused($to, 'admin', "BEGIN; SELECT dp_adopt_recipient('admin', $rushs); $print; ROLLBACK", '55000',
	qr/has not committed/, 'rows are made for who somebody certainly is');
is(value($to, 'admin', "SELECT count(*) FROM dp_issuances WHERE role = 'admin'"), '0', 'and none were given out');
value($to, 'admin', "SELECT dp_adopt_recipient('admin', recipient_id) FROM dp_issuances "
	  . "WHERE recipient = 'rush' LIMIT 1");
is(seeded('admin', node => $to), $rows_of_rush, 'a recipient that another role was by chance');
isnt(seeded('rush', node => $to), $rows_of_rush, 'is then one role, not two');
audit_ok($to, 'the log is whole');

done_testing();
