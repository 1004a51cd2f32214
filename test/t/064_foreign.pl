# Models as foreign tables over sessions: one table for one recipient in every plan, another for another; what a revoke,
# a dropped model, a cancel and a ROLLBACK do to scans; streams without end; dump and restore.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('foreign', conf => "log_temp_files = 0\n");

value($node, undef, "CREATE ROLE $_ LOGIN") for qw(owner guest other);
value($node, undef, 'GRANT CREATE ON SCHEMA public TO owner; CREATE SCHEMA f AUTHORIZATION owner; '
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER pg_mirage_fdw TO owner');
people($node, 'folk', 3000, owner => 'owner');
value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
SELECT dp_protect('folk', epsilon => 60);
SELECT dp_set_column('folk', 'id', kind => 'identifier');
SELECT dp_train('m', 'folk', 'mst', epsilon => 20);
SELECT dp_grant('m', 'guest'), dp_grant('m', 'other');
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;

IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f OPTIONS (rows '40000', seed '1');
CREATE FOREIGN TABLE f.endless (id int, age int, sex text, city text)
  SERVER models OPTIONS (model 'm', rows '9000000000000000000');
CREATE FOREIGN TABLE f.default_rows (age int) SERVER models OPTIONS (model 'm');
GRANT USAGE ON SCHEMA f TO guest, other;
GRANT SELECT ON ALL TABLES IN SCHEMA f TO guest, other;
EOC

my $print = "SELECT md5(string_agg(x::text, ',' ORDER BY id)) FROM f.m x";
my $issued = 'SELECT count(*) FROM mirage.issuance';

# ---------------------------------------------------------------- one table

my $rows = value($node, 'guest', $print);
is(value($node, 'guest', $print), $rows, 'another session of the same recipient sees the same rows');
is(value($node, 'guest', "SET enable_hashjoin = off; SET enable_nestloop = off; SET work_mem = '64kB'; "
	  . "SELECT md5(string_agg(x::text, ',' ORDER BY id)) FROM f.m x WHERE id IN "
	  . "(SELECT id FROM f.m WHERE age < 60 UNION ALL "
	  . "SELECT id FROM f.m WHERE age >= 60)"),
	$rows, 'whatever the plan');
is(value($node, 'guest', "SELECT md5(string_agg(m::text, ',' ORDER BY id)) FROM (SELECT id, age, "
		  . "sex, city, member FROM "
	  . "dp_synthesize('m', 40000, seed => 1) AS t(id int, age int, sex text, city text, member boolean)) m"),
	$rows, 'they are those of a call with the same seed');
isnt(value($node, 'other', $print), $rows, 'another recipient sees other rows');
my $super = value($node, undef, $print);
isnt($super, $rows, 'so does a superuser');
is(value($node, undef, "SET ROLE guest; $print"), $super, 'SET ROLE makes nobody another recipient');
is(value($node, undef, "SET SESSION AUTHORIZATION guest; $print"), $super, 'nor does SET SESSION AUTHORIZATION');
my ($total, $count) = split /\|/, value($node, undef,
	'SELECT round((SELECT total FROM mirage.model)), count(*) FROM f.default_rows');
is($count, $total, 'without the option there are as many rows as the model says');

# ---------------------------------------------------------------- streams

my $before = value($node, undef, $issued);
is(value($node, 'guest', 'SELECT count(*) FROM (SELECT * FROM f.endless LIMIT 7) x'), '7',
	'LIMIT ends a scan without end');
is(value($node, 'guest', 'SELECT count(*) FROM (SELECT id FROM f.endless WHERE age = 30 LIMIT 7) x'), '7',
	'and one that passes over rows');
is(value($node, 'guest', 'BEGIN; DECLARE c CURSOR FOR SELECT age FROM f.endless; MOVE 100000 c; SELECT 1; '
		  . 'ROLLBACK'), '1',
	'and a cursor that is left');
is(value($node, undef, $issued), $before + 3, 'each is recorded, the one that was rolled back too');
is(value($node, undef, 'SELECT DISTINCT requested_rows FROM mirage.issuance WHERE id > (SELECT max(id) - 3 '
		  . 'FROM mirage.issuance)'),
	'9000000000000000000', 'with all rows that it could have read');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
value($node, 'guest', "SET work_mem = '64kB'; SELECT count(age), count(city) FROM f.m");
unlike(substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), length $log), qr/temporary file/,
	'nothing goes to temporary files');

for my $where ('', 'WHERE age = 1000', 'WHERE age = 1000 OR city IS NOT NULL')
{
	my $session = session($node, 'guest');

	$session->start("SELECT count(age) FROM f.endless $where");
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE pid = $session->{pid} AND state = 'active' "
		  . "AND query LIKE '%f.endless%' "
		  . "AND wait_event IS NULL", '1');
	value($node, undef, "SELECT pg_cancel_backend($session->{pid})");
	$session->failed_with('57014', undef, "a scan can be cancelled: $where");
	is($session->query($print), $rows, 'and the session goes on');
	$session->close;
}

# ---------------------------------------------------------------- rights that end

my ($one, $two, $open) = map { session($node, 'guest') } 1 .. 3;
$one->query('PREPARE p AS SELECT count(*) FROM f.m WHERE age < 1000');
is($one->query('EXECUTE p') . $one->query('EXECUTE p'), '4000040000', 'a prepared scan');
$two->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($two->query('SELECT count(*) FROM f.m'), '40000', 'a scan in a transaction with one snapshot');
$open->query('BEGIN');
$open->query('DECLARE c CURSOR FOR SELECT id FROM f.m');
is($open->query('FETCH 2 FROM c'), "1\n2", 'a cursor');
value($node, 'owner', "SELECT dp_revoke('m', 'guest')");
$one->start('EXECUTE p');
$one->failed_with('42501', qr/permission denied for model/, 'after a revoke the prepared scan is refused');
$two->start('SELECT count(*) FROM f.m');
$two->failed_with('42501', qr/permission denied for model/, 'and the one in an old snapshot');
is($open->query('FETCH 2 FROM c'), "3\n4", 'what was opened before goes on');
refused($node, 'guest', 'SELECT count(*) FROM f.m', '42501', qr/permission denied for model/, 'and a new session');
$before = value($node, undef, $issued);
is(value($node, 'guest', 'EXPLAIN (COSTS OFF) SELECT count(*) FROM f.m') =~ /Model: m/, 1,
	'EXPLAIN alone asks for no right to rows');
is(value($node, undef, $issued), $before, 'and records nothing');
value($node, undef, 'REVOKE SELECT ON f.m FROM other');
refused($node, 'other', 'SELECT count(*) FROM f.m', '42501', qr/permission denied for foreign table/,
	'a grant of the model is none of the table');
value($node, undef, 'GRANT SELECT ON f.m TO other');

# ---------------------------------------------------------------- dump and restore

my $dump = $node->basedir . '/dump';
my $was = value($node, 'other', $print);
$before = value($node, undef, $issued);
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a dump');
is(value($node, undef, $issued), $before, 'for which no rows were made');
my $key = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/pg_mirage.key');
my $to = new_node('restored', bare => 1);
value($to, undef, "CREATE ROLE $_ LOGIN") for qw(owner guest other);
$to->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $to->connstr('postgres') ],
	'which restores, foreign tables and all');
refused($to, undef, $print, 'F0000', qr/key/, 'without the master key they cannot be read');
open(my $file, '>', $to->data_dir . '/pg_mirage.key') or die;
print $file $key;
close($file) or die;
chmod(0600, $to->data_dir . '/pg_mirage.key') or die;
is(value($to, undef, $print), $super, 'with it they hold the same rows for the same recipient');
refused($to, 'other', $print, '42501', qr/permission denied for model/, 'grants are to be renewed');
value($to, undef, "SELECT dp_grant('m', 'other'); SELECT dp_adopt_recipient('other', recipient_id) FROM dp_issuances "
	  . "WHERE recipient = 'other' LIMIT 1");
is(value($to, 'other', $print), $was, 'and who of the roles is which recipient is to be said; then all is as it was');

# ---------------------------------------------------------------- a dropped model

value($node, 'owner', "SELECT dp_drop_model('m')");
is($open->query('FETCH 2 FROM c'), "5\n6", 'a cursor outlives its model');
refused($node, 'other', $print, '42704', qr/model "m" does not exist/, 'a new scan does not');
value($node, 'owner', "SET client_min_messages = warning; SELECT dp_train('m', 'folk', 'mst', epsilon => 20); "
	  . "SELECT dp_grant('m', 'other')");
isnt(value($node, 'other', $print), $was, 'another model of the name is another table');
$_->close for $one, $two, $open;

done_testing();
