# Dump and restore into another server, where a role is missing, a table had been dropped, another renamed: the ledger
# and the log are
# whole, numbering goes on, nothing is refunded, and models are readable where the master key came along.
use strict;
use warnings;

use Mirage;
use Test::More;

my $from = new_node('from');
my $epsilon = 3;
my @roles = ('owner', 'keeper', 'guest');

value($from, undef, "CREATE ROLE $_ LOGIN; GRANT CREATE ON SCHEMA public TO $_") for @roles, 'lost';
people($from, 'kept', 1500, owner => 'owner');
people($from, 'dropped', 500, owner => 'owner');
people($from, 'called', 500, owner => 'owner');
people($from, 'orphan', 500, owner => 'lost');
value($from, 'owner', "CREATE TABLE parent (age int, sex text) PARTITION BY LIST (sex); "
	  . "CREATE TABLE child PARTITION OF parent FOR VALUES IN ('Female', 'Male'); INSERT INTO parent SELECT age, sex "
	  . "FROM called; "
	  . "SELECT dp_protect('parent', epsilon => $epsilon); SELECT dp_train('parent_1', 'parent', epsilon => 1)");
value($from, 'owner', <<EOC);
SET client_min_messages = warning;
SELECT dp_protect('kept', epsilon => $epsilon), dp_protect('dropped', epsilon => $epsilon), dp_protect('called',
  epsilon => $epsilon);
SELECT dp_set_column('kept', 'city', categories => ARRAY['Graz', 'Linz', 'Wien']);
SELECT dp_train('kept_1', 'kept', epsilon => 1);
SELECT dp_train('dropped_1', 'dropped', epsilon => 1);
SELECT dp_train('called_1', 'called', epsilon => 1);
SELECT dp_grant('kept_1', 'guest');
SELECT dp_grant('kept_1', 'lost');
SELECT dp_grant_budget('kept', 'guest', 1);
SELECT dp_grant_budget('kept', 'lost', 1);
SELECT count(*) FROM dp_synthesize('kept_1', 10) AS t(age int);
EOC
value($from, 'lost', "SET client_min_messages = warning; SELECT dp_protect('orphan', epsilon => $epsilon); "
	  . "SELECT dp_train('orphan_1', 'orphan', epsilon => 1); SELECT dp_train('orphan_2', 'kept', epsilon => 0.5)");

# A table declared public, another that refers to it, and a column that is a function of another.
value($from, 'owner', <<EOC);
SET client_min_messages = warning;
CREATE TABLE zone (id int PRIMARY KEY);
INSERT INTO zone SELECT generate_series(10, 40, 10);
CREATE TABLE shops (zone int NOT NULL REFERENCES zone, grade int CHECK (grade IN (1, 2)));
INSERT INTO shops SELECT 10 + 10 * (i % 4), 1 + i % 2 FROM generate_series(1, 500) i;
SELECT dp_protect('shops', epsilon => $epsilon);
SELECT dp_declare_public('zone');
SELECT dp_set_column('shops', 'grade', depends_on => '{zone}');
SELECT dp_train('shops_1', 'shops', epsilon => 1);
ALTER TABLE zone RENAME TO zones;
EOC

# A charge that nobody settled, for a dump to carry.
make_gate($from, epsilon => $epsilon);
my $gate = hold_gate($from);
my $job = train_gated($from, 'unsettled', epsilon => 1);
value($from, undef, 'SELECT pg_terminate_backend(' . worker_pid($from, $job) . ')');
await($from, "SELECT state FROM dp_jobs WHERE id = $job", 'orphaned');
$gate->close;

value($from, 'owner', 'DROP TABLE dropped; ALTER TABLE called RENAME TO named');
value($from, undef, 'CREATE SCHEMA archive AUTHORIZATION owner; ALTER TABLE orphan SET SCHEMA archive');

my $ledger = 'SELECT string_agg(l::text, E\'\n\' ORDER BY id) FROM mirage.ledger l';
my $log = 'SELECT string_agg(l::text, E\'\n\' ORDER BY id) FROM mirage.log l';
my $used = 'SELECT string_agg(name || used::text, \',\' ORDER BY name) FROM dp_budgets';
my %was = map { $_ => value($from, undef, $_) } ($ledger, $log, $used);
my $head = value($from, undef, 'SELECT head FROM dp_verify_audit()');
my ($last_charge, $last_job) = split(/\|/, value($from, undef, 'SELECT max(charge), max(job) FROM mirage.ledger'));

my $file = $from->basedir . '/dump';
$from->command_ok([ 'pg_dump', '-Fc', '-f', $file, '-d', $from->connstr('postgres') ],
	'a superuser dumps the database');
my $key = PostgreSQL::Test::Utils::slurp_file($from->data_dir . '/pg_mirage.key');

my $to = new_node('to', bare => 1);
value($to, undef, "CREATE ROLE padding_$_") for 1 .. 3;    # so that OIDs differ
value($to, undef, "CREATE ROLE $_ LOGIN") for @roles;

# ... but for one: another role has the OID that the guest had.
my $oid = value($from, undef, "SELECT 'guest'::regrole::oid");
value($to, undef, <<EOC);
DO \$\$
DECLARE
  r oid;
BEGIN
  LOOP
    CREATE ROLE impostor LOGIN;
    SELECT oid INTO r FROM pg_roles WHERE rolname = 'impostor';
    EXIT WHEN r >= $oid;
    DROP ROLE impostor;
  END LOOP;
END \$\$;
EOC
is(value($to, undef, "SELECT 'impostor'::regrole::oid"), $oid, 'there is a role with the OID of another');

sub restore
{
	my ($node, $db) = @_;
	my ($out, $err) = ('', '');

	value($node, undef, "CREATE DATABASE $db");
	$node->run_log([ 'pg_restore', '-d', $node->connstr($db), $file ]);
}

sub put_key
{
	my ($node, $text) = @_;
	my $path = $node->data_dir . '/pg_mirage.key';

	unlink $path;
	return unless defined $text;
	open(my $f, '>', $path) or die "$path: $!";
	print $f $text;
	close($f) or die;
	chmod(0600, $path) or die;
}

sub whole
{
	my ($node, $db) = @_;
	my @o = (db => $db);

	is(value($node, undef, $ledger, @o), $was{$ledger}, "$db: the ledger is whole");
	is(value($node, undef, $log, @o), $was{$log}, "$db: the log is whole");
	is(value($node, undef, $used, @o), $was{$used}, "$db: as much is used of every budget");
	is(value($node, undef, "SELECT ok FROM dp_verify_audit('$head')", @o), 't',
		"$db: the log verifies, and holds the old head");
}

# ---------------------------------------------------------------- without the key

restore($to, 'plain');
my @plain = (db => 'plain');
whole($to, 'plain');
is(value($to, undef, "SELECT count(*) FROM pg_roles WHERE rolname IN ('lost', 'mirage_admin', 'mirage_trainer', "
	  . "'mirage_auditor')", @plain),
	'3', 'a role is missing, ours are there');
refused($to, undef, "SELECT dp_synthesize('kept_1', 1)", 'F0000', qr/key/, 'without the key no model can be read',
	@plain);
refused($to, undef, "CREATE TABLE new AS SELECT 1 AS a; SELECT dp_protect('new', epsilon => 1); SELECT dp_train('x', "
	  . "'new')", 'F0000',
	qr/key/, 'nor is anything trained', @plain);
ok(!-e $to->data_dir . '/pg_mirage.key', 'no key file is made where one was recorded');
put_key($to, '0123456789abcdef' x 4);
my $err = refused($to, undef, "SELECT dp_synthesize('kept_1', 1)", 'F0000', qr/not the one of this database/,
	'another key is no key', @plain);
like(hint_of($err), qr/fingerprint [0-9a-f]+/, 'the hint names the one that is wanted');
is(value($to, undef, $ledger, @plain), $was{$ledger}, 'none of that changed the ledger');

# ---------------------------------------------------------------- with the key

put_key($to, $key);
is(value($to, undef, "SELECT count(*) FROM dp_synthesize('kept_1', 10) AS t(age int)", @plain), '10',
	'with the key, models can be read');
is(value($to, undef, "SELECT count(*) FROM dp_synthesize_as(NULL::kept, 'kept_1', 10)", @plain), '10',
	'also as rows of the table');

# grants and ownership are bound to roles of the server that they were made in
refused($to, 'guest', "SELECT dp_synthesize('kept_1', 1)", '42501', undef, 'grants are inactive', @plain);
refused($to, 'owner', "SELECT dp_synthesize('kept_1', 1)", '42501', undef, 'and so is ownership', @plain);
refused($to, 'impostor', "SELECT dp_synthesize('kept_1', 1)", '42501', undef, 'an OID alone is nobody', @plain);
is(value($to, 'impostor', 'SELECT count(*) FROM dp_models', @plain), '0', 'and sees nothing');
is(value($to, 'guest', 'SELECT count(*) FROM dp_models', @plain), '0', 'nothing is shown to a namesake');
value($to, undef, "SELECT dp_grant('kept_1', 'guest')", @plain);
is(value($to, 'guest', "SELECT count(*) FROM dp_synthesize('kept_1', 10) AS t(age int)", @plain), '10',
	'granted again, they count');

# protection is renewed under the same budget, or not at all
refused($to, 'owner', "SELECT dp_train('x', 'kept', epsilon => 0.1)", '55000',
	qr/recorded for another relation.*HINT.*budget => 'kept'/s,
	'a restored table asks for its protection to be renewed', @plain);
refused($to, 'owner', "SELECT dp_protect('kept', epsilon => 100)", '55000', qr/budget => 'kept'/,
	'a fresh budget is refused', @plain);
refused($to, 'owner', "SELECT dp_create_budget('fresh', 100); SELECT dp_protect('kept', budget => 'fresh')", '55000',
	qr/budget => 'kept'/,
	'another budget too', @plain);
quietly($to, undef, "SELECT dp_protect('kept', budget => 'kept')", 'an administrator renews it', @plain);
refused($to, 'guest', "SELECT dp_train('x', 'kept', epsilon => 0.1)", '42501', undef, 'shares are inactive', @plain);
is(value($to, 'owner', "SELECT domain FROM dp_describe('kept') WHERE \"column\" = 'city'", @plain),
	value($from, 'owner', "SELECT domain FROM dp_describe('kept') WHERE \"column\" = 'city'"),
		'what was declared goes on');
refused($to, 'owner', "SELECT dp_train('x', 'kept', epsilon => $epsilon)", '54000', qr/no room/,
	'what was charged is charged', @plain);
can_train($to, 'owner', 'kept_2', 'kept', 'what is left can be spent', @plain);
my ($charge, $new) = split(/\|/, value($to, undef, "SELECT charge, job FROM mirage.ledger WHERE model = 'kept_2' AND "
	  . "state = 'reserved'", @plain));
cmp_ok($charge, '>', $last_charge, 'charges are numbered on');
cmp_ok($new, '>', $last_job, 'and so are jobs');
is(value($to, undef, 'SELECT ok FROM dp_verify_audit()', @plain), 't', 'the log goes on');

# renamed, and moved to another schema, before the dump
refused($to, 'owner', "SELECT dp_protect('named', epsilon => 100)", '55000', qr/budget => 'called'/,
	'a renamed table is no new one', @plain);
quietly($to, undef, "SELECT dp_protect('named', budget => 'called')", 'its protection is renewed', @plain);
can_train($to, 'owner', 'named_2', 'named', 'it trains', @plain);
is(charges($to, 'called', @plain), 'called_1:spent, named_2:spent', 'under its old budget');
refused($to, undef, "SELECT dp_protect('archive.orphan', epsilon => 100)", '55000', qr/budget => 'orphan'/,
	'nor is one that was moved to another schema', @plain);

# what was declared public is asked for again, since nobody here has said so; dependences go on
my $shops = 'SELECT string_agg(source || coalesce(unused_checks, \'\'), \' / \') FROM dp_describe(\'shops\')';
is(value($from, 'owner', $shops), 'foreign key to public.zones / check, a function of zone',
	'a public table and a dependent column, before');
quietly($to, undef, "SELECT dp_protect('shops', budget => 'shops')", 'their table is protected again', @plain);
is(value($to, 'owner', $shops, @plain), 'learntshops_zone_fkey (public.zones was declared public elsewhere: '
	  . 'dp_declare_public renews it) / check, a function of zone',
	'after the restore its keys are not taken as public');
quietly($to, 'owner', "SELECT dp_declare_public('zones')", 'its owner says it again', @plain);
is(value($to, 'owner', $shops, @plain), value($from, 'owner', $shops), 'and all is as it was');
is(value($to, undef, "SELECT count(DISTINCT grade) FROM dp_synthesize('shops_1', 500) AS t(zone int, grade int) "
	  . "GROUP BY zone ORDER BY 1 DESC LIMIT 1", @plain), '1', 'a restored model keeps its functions');

# a partition of what was protected
refused($to, 'owner', "SELECT dp_protect('child', epsilon => 100)", '55000', qr/budget => 'parent'/,
	'nor is a partition', @plain);
refused($to, 'owner', "SELECT dp_train('x', 'child', epsilon => 0.1)", '55000', qr/HINT.*budget => 'parent'/s,
	'it asks, too', @plain);

# dropped before the dump
refused($to, 'owner', "SELECT dp_train('x', 'dropped', epsilon => 0.1)", '42P01', undef,
	'a table that was dropped is not there', @plain);
is(charges($to, 'dropped', @plain), 'dropped_1:spent', 'its charges are');
is(value($to, undef, "SELECT count(*) FROM dp_synthesize('dropped_1', 5) AS t(age int)", @plain), '5', 'and its model');
people($to, 'dropped', 100, @plain);
refused($to, undef, "SELECT dp_protect('dropped', epsilon => 100)", '55000', qr/budget => 'dropped'/,
	'made again, it is the same people', @plain);

# what was not settled
is(charges($to, 'gated', @plain), 'unsettled:reserved', 'a charge that was never settled stands');
is(value($to, undef, "SELECT state FROM dp_jobs WHERE model = 'unsettled'", @plain), 'orphaned',
	'its job is an orphan');
refused($to, undef, "SELECT dp_protect('gated', budget => 'gated'); SELECT dp_train('x', 'gated', epsilon => "
	  . "$epsilon - 0.05)", '54000', undef,
	'and it counts', @plain);

# ---------------------------------------------------------------- once more, beside it

restore($to, 'twin');
my @twin = (db => 'twin');
whole($to, 'twin');
refused($to, 'owner', "SELECT dp_train('x', 'kept', epsilon => 0.1)", '55000', qr/recorded for another relation/,
	'the twin asks as well', @twin);
quietly($to, undef, "SELECT dp_protect('kept', budget => 'kept')", 'its protection is renewed', @twin);
can_train($to, 'owner', 'kept_2', 'kept', 'it trains', @twin);
audit_ok($to, 'its log goes on', @twin);
audit_ok($to, 'and that of the first is what it was', @plain);
is(value($to, undef, "SELECT count(*) FROM dp_synthesize('kept_2', 5) AS t(age int)", @twin), '5',
	'its models can be read');

# a dump of the restored database, once more
my $again = $to->basedir . '/again';
$to->command_ok([ 'pg_dump', '-Fc', '-f', $again, '-d', $to->connstr('plain') ], 'the restored database can be dumped');
value($to, undef, 'CREATE DATABASE third');
$to->run_log([ 'pg_restore', '-d', $to->connstr('third'), $again ]);
audit_ok($to, 'and restored', db => 'third');
is(value($to, undef, $used, db => 'third'), value($to, undef, $used, @plain), 'with everything that is used');

# ---------------------------------------------------------------- a restore that lost the ledger

value($to, undef, 'CREATE DATABASE robbed');
$to->command_ok([ 'sh', '-c', "pg_restore -l '$file' | grep -v 'TABLE DATA mirage ledger ' > '$file.list'" ],
	'a list without the ledger');
$to->run_log([ 'pg_restore', '-L', "$file.list", '-d', $to->connstr('robbed'), $file ]);
is(value($to, undef, 'SELECT count(*) FROM mirage.ledger', db => 'robbed'), '0',
	'a restore that left the ledger behind');
value($to, undef, "SELECT dp_protect('kept', budget => 'kept')", db => 'robbed');
refused($to, undef, "SELECT dp_train('x', 'kept', epsilon => 0.1)", 'XX001', qr/fewer charges than the log/,
	'does not train', db => 'robbed');

# ---------------------------------------------------------------- a copy in the same server

value($from, undef, 'CREATE DATABASE copy TEMPLATE postgres', db => 'template1');
my @copy = (db => 'copy');
whole($from, 'copy');
refused($from, 'owner', "SELECT dp_train('x', 'kept', epsilon => 0.1)", '55000', qr/HINT.*budget => 'kept'/s,
	'the tables of a copied database are the same people: it asks', @copy);
refused($from, 'owner', "SELECT dp_protect('kept', epsilon => 100)", '55000', qr/budget => 'kept'/,
	'and gives no fresh budget', @copy);
is(value($from, 'owner', "SELECT count(*) FROM dp_synthesize('kept_1', 5) AS t(age int)", @copy), '5',
	'roles are the same here');
audit_ok($from, 'its log goes on', @copy);

# ---------------------------------------------------------------- who may dump

$from->command_fails_like([ 'pg_dump', '-U', 'owner', '-f', "$file.none", '-d', $from->connstr('postgres') ],
	qr/permission denied/, 'a dump by a role that may not read everything fails, rather than leaving the ledger out');
value($from, undef, 'CREATE ROLE dumper LOGIN; GRANT pg_read_all_data TO dumper');
$from->command_ok([ 'pg_dump', '-U', 'dumper', '-f', "$file.none", '-d', $from->connstr('postgres') ],
	'pg_read_all_data is enough');

$_->stop for ($from, $to);
done_testing();
