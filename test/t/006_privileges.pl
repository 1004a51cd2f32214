# Who may do what; and that code of others (operators in a search_path, policies, views) never runs with more rights
# than its own.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('rights');

# ---------------------------------------------------------------- the cast

value($node, undef, "CREATE ROLE $_ LOGIN") for qw(owner nobody consumer trainer sharer auditor admin);
value($node, undef, <<'EOC');
GRANT CREATE ON SCHEMA public TO owner;
GRANT mirage_trainer TO trainer;
GRANT mirage_auditor TO auditor;
GRANT mirage_admin TO admin;
EOC
people($node, 'folk', 1500, owner => 'owner');
value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
SELECT dp_protect('folk', epsilon => 60);
GRANT SELECT ON folk TO trainer;
SELECT dp_grant_budget('folk', 'sharer', 20);
SELECT dp_train('m', 'folk', epsilon => 1);
SELECT dp_grant('m', 'consumer');
EOC
value($node, 'owner', 'CREATE TABLE lands (id int PRIMARY KEY)');
my $job = value($node, undef, 'SELECT max(id) FROM dp_jobs');

# ---------------------------------------------------------------- the matrix

# What each call gives each role: "ok", or the SQLSTATE.
my @cast = qw(nobody consumer trainer sharer auditor admin owner);
my $no = '42501';
my $serial = 0;

my @matrix = (
	# nobody, consumer, trainer, sharer, auditor, admin, owner
	[ "SELECT dp_train('t_SERIAL', 'folk', epsilon => 0.2)",
		$no,  $no,  'ok', 'ok', $no,  $no,  'ok' ],
	[ "SELECT count(*) FROM dp_plan('folk')",
		$no,  $no,  'ok', 'ok', $no,  $no,  'ok' ],
	[ "SELECT count(*) FROM dp_describe('folk')",
		$no,  $no,  'ok', 'ok', 'ok', 'ok', 'ok' ],
	[ "SELECT count(*) FROM dp_synthesize('m', 2) AS t(age int)",
		$no,  'ok', $no,  $no,  $no,  $no,  'ok' ],
	[ "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 2)",
		$no,  'ok', $no,  $no,  $no,  $no,  'ok' ],
	[ "SELECT dp_materialize('m', 'pg_temp.own', 2)",
		$no,  'ok', $no,  $no,  $no,  $no,  'ok' ],
	[ "SELECT dp_materialize('m', 'folk', 2)",
		$no,  $no,  $no,  $no,  $no,  $no,  '55000' ],
	[ "SELECT dp_grant('m', 'consumer')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_protect('folk', budget => 'folk')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_protect('folk', budget => 'folk', assert_stable => true)",
		$no,  $no,  $no,  $no,  $no,  'ok', $no ],
	[ "SELECT dp_protect('folk', budget => 'folk')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_set_column('folk', 'age', kind => 'number')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_declare_public('lands')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_grant_budget('folk', 'sharer', 20)",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_wait($job)",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT dp_cancel($job)",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT ok FROM dp_verify_audit()",
		$no,  $no,  $no,  $no,  'ok', 'ok', $no ],
	[ "SELECT count(*) FROM dp_trace('SELECT 1 AS age, ''Male'' AS sex')",
		$no,  $no,  $no,  $no,  'ok', 'ok', $no ],
	[ "SELECT dp_set_model('m', watermark => true)",
		$no,  $no,  $no,  $no,  $no,  'ok', $no ],
	[ "SELECT dp_revoke('m', 'consumer')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
	[ "SELECT count(*) FROM folk",
		$no,  $no,  'ok', $no,  $no,  $no,  'ok' ],
	[ "SELECT dp_drop_model('m')",
		$no,  $no,  $no,  $no,  $no,  'ok', 'ok' ],
);

for my $row (@matrix)
{
	my ($call, @want) = @$row;

	for my $i (0 .. $#cast)
	{
		my $sql = $call;

		$serial++;
		$sql =~ s/SERIAL/$serial/;
		$sql = "BEGIN; $sql; ROLLBACK" if $sql =~ /dp_(drop|revoke|grant|protect|set|declare)/;
		my ($rc, $out, $err) = run_as($node, $cast[$i], $sql);
		my $got = $rc == 0 ? 'ok' : $err =~ /(?:ERROR|FATAL):\s+(\w{5}):/ ? $1 : '?';

		is($got, $want[$i], "$cast[$i]: $call") or diag($err);
	}
}

# (what the views show each: numbers of rows)
my $trained = value($node, undef, "SELECT count(*) FROM dp_ledger");
for my $row (
	#                  nobody consumer trainer sharer auditor admin owner
	[ 'dp_budgets',    0,     0,       1,      1,     1,      1,    1 ],
	[ 'dp_ledger',     0,     0,       1,      1,     $trained, $trained, $trained ],
	[ 'dp_models',     0,     1,       1,      1,     $trained, $trained, $trained ],
	[ 'dp_jobs',       0,     0,       1,      1,     $trained, $trained, $trained ],
  )
{
	my ($view, @want) = @$row;

	is(value($node, $cast[$_], "SELECT count(*) FROM $view"), $want[$_],
		"$cast[$_] sees $want[$_] rows of $view") for 0 .. $#cast;
}
is(value($node, 'sharer', 'SELECT count(*) FROM dp_audit_log WHERE role <> CURRENT_USER'), '0',
	'the log shows a role what it did itself');
cmp_ok(value($node, 'auditor', 'SELECT count(DISTINCT role) FROM dp_audit_log'), '>=', 4, 'and an auditor everything');
is(value($node, 'sharer', "SELECT share FROM dp_ledger"), 'sharer', 'a charge says whose share has paid');

# Members of a granted role; not those who would have to SET ROLE first.
value($node, undef, 'CREATE ROLE team; CREATE ROLE member LOGIN; GRANT team TO member; CREATE ROLE distant LOGIN '
	  . 'NOINHERIT; GRANT team TO distant');
value($node, 'owner', "SELECT dp_grant('m', 'team')");
is(value($node, 'member', "SELECT count(*) FROM dp_synthesize('m', 2) AS t(age int)"), '2',
	'a member has what its group was granted');
refused($node, 'distant', "SELECT dp_synthesize('m', 2)", '42501', undef, 'a member that does not inherit has not');
is(value($node, 'distant', "SET ROLE team; SELECT count(*) FROM dp_synthesize('m', 2) AS t(age int)"), '2',
	'before it takes on the role');
is(value($node, undef, "SELECT role_name, recipient FROM mirage.issuance ORDER BY id DESC LIMIT 1"), 'team|distant',
	'the record names the role and who received');

# Columns one by one.
value($node, undef, 'CREATE ROLE partial LOGIN; GRANT mirage_trainer TO partial');
value($node, 'owner', 'GRANT SELECT (age, sex) ON folk TO partial');
my $charged = charges($node, 'folk');
refused($node, 'partial', "SELECT dp_train('x', 'folk', epsilon => 0.2)", '42501', qr/may not read column "city"/,
	'a right on some columns is none on the others');
is(charges($node, 'folk'), $charged, 'and is refused before anything is charged');
quietly($node, 'partial', "SELECT dp_train('partial', 'folk', epsilon => 0.2, columns => ARRAY['sex', 'age'])",
	'those can be learnt');
refused($node, 'partial', "SELECT * FROM dp_synthesize('partial', 1) AS t(city text)", '42703', qr/no column "city"/,
	'and no others');

# Keys of a public table are read for whoever trains: its owner's declaration is the right, and nobody's code runs.
value($node, undef, 'CREATE ROLE lender LOGIN; GRANT CREATE ON SCHEMA public TO lender');
value($node, 'lender', <<'EOC');
CREATE FUNCTION whoever(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_user <> 'lender' THEN RAISE EXCEPTION 'run by %', current_user; END IF;
  RETURN i;
END $$;
CREATE TABLE lent (id int PRIMARY KEY, more int GENERATED ALWAYS AS (whoever(id)) STORED);
CREATE INDEX ON lent (whoever(id));
INSERT INTO lent (id) SELECT 7 * i FROM generate_series(1, 5) i;
GRANT REFERENCES ON lent TO owner;
EOC
value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
CREATE TABLE borrowers (lent int NOT NULL REFERENCES lent);
INSERT INTO borrowers SELECT 7 * (1 + i % 5) FROM generate_series(1, 300) i;
SELECT dp_protect('borrowers', epsilon => 20);
SELECT dp_grant_budget('borrowers', 'sharer', 5);
EOC
refused($node, 'owner', "SELECT dp_declare_public('lent')", '42501', undef,
	'who may refer to a table may not declare it public');
quietly($node, 'lender', "SELECT dp_declare_public('lent')", 'its owner may');
refused($node, 'sharer', 'SELECT id FROM lent', '42501', undef, 'a share holder cannot read it');
is(value($node, 'sharer', "SELECT domain FROM dp_describe('borrowers')"), '7, 14, 21, 28, 35', 'but is told its keys');
quietly($node, 'sharer', "SELECT dp_train('borrowed', 'borrowers', epsilon => 1)", 'and trains within them');
is(value($node, 'sharer', "SELECT count(*) FILTER (WHERE lent % 7 = 0 AND lent BETWEEN 7 AND 35) FROM "
	  . "dp_synthesize('borrowed', 1000) AS t(lent int)"), '1000', 'every row holds one of them');

# ---------------------------------------------------------------- the tables themselves

my @tables = split(/\n/, value($node, undef,
	"SELECT relname FROM pg_class WHERE relnamespace = 'mirage'::regnamespace AND relkind IN ('r', 'S') ORDER BY 1"));
cmp_ok(scalar @tables, '>', 20, 'there are tables and sequences to try');
for my $role (qw(nobody consumer trainer sharer auditor admin owner))
{
	my @open = grep { (run_as($node, $role, "SELECT * FROM mirage.$_"))[0] == 0 } @tables;

	is("@open", '', "$role reads none of them directly");
	is(value($node, undef, "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = "
		  . "'mirage'::regnamespace AND "
		  . "(relkind = 'r' AND has_table_privilege('$role', oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, "
		  . "TRIGGER') OR "
		  . "relkind = 'S' AND has_sequence_privilege('$role', oid, 'USAGE, UPDATE'))"), '',
		"$role writes to none of them");
}
refused($node, 'owner', 'CREATE TABLE mirage.mine (a int)', '42501', undef, 'nobody makes things in the schema');

# Append-only, also for a superuser, in replica mode, and with an empty set of rows.
my $rows = join(' UNION ALL ', map { "SELECT '$_', count(*) FROM mirage.$_" } qw(ledger issuance log log_block));
my $count = value($node, undef, $rows);
for my $t (qw(ledger issuance log log_block))
{
	for my $act ("UPDATE mirage.$t SET " . { ledger => 'epsilon = 0', issuance => 'recipient = \'x\'',
		log => 'object = \'x\'',
			log_block => 'number = number + 100' }->{$t},
		"DELETE FROM mirage.$t", "TRUNCATE mirage.$t")
	{
		refused($node, undef, $act, '55000', qr/append-only/, "superuser: $act");
		refused($node, undef, "SET session_replication_role = replica; $act", '55000', qr/append-only/,
			"replica mode: $act");
	}
}
is(value($node, undef, $rows), $count, 'nothing was lost');

# ---------------------------------------------------------------- what stands first in the search_path

# An attacker's schema with functions and operators called like those of pg_catalog, each of which leaves a trace and
# raises.
value($node, undef, <<'EOC');
CREATE ROLE attacker LOGIN;
CREATE SCHEMA evil AUTHORIZATION attacker;
CREATE TABLE evil.trace (who text, what text);
GRANT INSERT ON evil.trace TO PUBLIC;
EOC
my $evil = "CREATE FUNCTION evil.caught(what text) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN "
  . "RAISE EXCEPTION 'hijacked by % as %', what, current_user; END \$\$;\n";
for my $type (qw(text int4 int8 oid name float8 bool timestamptz))
{
	my $full = "pg_catalog.$type";

	for my $op ($type eq 'bool' ? ('=', '<>') : ('=', '<>', '<', '>', '<=', '>='))
	{
		(my $name = $op) =~ s/(.)/{ '=' => 'e', '<' => 'l', '>' => 'g' }->{$1}/ge;
		$evil .= "CREATE FUNCTION evil.${name}_$type(a $full, b $full) RETURNS boolean LANGUAGE sql AS "
		  . "\$\$ SELECT evil.caught('$op $type') \$\$;\n"
		  . "CREATE OPERATOR evil.$op (LEFTARG = $full, RIGHTARG = $full, FUNCTION = evil.${name}_$type);\n";
	}
}
for my $f ('nextval(regclass)', 'clock_timestamp()', 'now()', 'unnest(anyarray)', 'count(int)', 'format(text, text)',
	'current_setting(text)',
	'hashint4(int)', 'pg_blocking_pids(int)', 'max(bigint)')
{
	my ($name, $args) = $f =~ /(\w+)\((.*)\)/;
	$evil .= "CREATE FUNCTION evil.$name($args) RETURNS bigint LANGUAGE sql AS \$\$ SELECT "
		  . "evil.caught('$name')::int::bigint \$\$;\n";
}
$evil .= join('', map { "CREATE FUNCTION evil.$_ LANGUAGE sql AS \$\$ SELECT evil.caught('$_') "
	  . "\$\$;\n" } 'is_me(oid, text, text) RETURNS boolean',
	'owns(oid, text) RETURNS boolean', 'oversees() RETURNS boolean');
value($node, 'attacker', $evil);
value($node, undef, 'GRANT USAGE ON SCHEMA evil TO PUBLIC');
my $path = 'SET search_path = evil, pg_catalog, public, mirage; SET client_min_messages = warning;';
my ($rc, undef, $err) = run_as($node, 'owner', "$path SELECT 1 = 1");
like($err, qr/hijacked by = int4 as owner/, 'the trap works where a user falls into it');
for my $role (undef, 'owner', 'sharer')
{
	my $who = $role // 'superuser';

	$serial++;
	quietly($node, $role, "$path SELECT dp_train('path_$serial', 'folk', 'mst', 0.2)",
		"$who: a training does not fall into it");
}
quietly($node, 'consumer', "$path SELECT dp_synthesize('m', 3)", 'nor does a release');
quietly($node, 'consumer', "$path SELECT * FROM dp_synthesize_as(NULL::folk, 'm', 3)", 'nor typed rows');
quietly($node, undef, "$path SELECT * FROM dp_budgets; SELECT * FROM dp_ledger; SELECT * FROM dp_models; SELECT * "
	  . "FROM dp_jobs; "
	  . "SELECT * FROM dp_audit_log; SELECT * FROM dp_verify_audit()", 'nor do the views and the check of the log');
quietly($node, 'owner', "$path SELECT dp_create_budget('path', 1.0); SELECT dp_set_column('folk', 'age', 'number', "
	  . "'17', '90'); "
	  . "SELECT dp_grant('m', 'consumer'); SELECT dp_revoke('m', 'team'); SELECT * FROM dp_plan('folk', 'mst', 1.0); "
	  . "SELECT * FROM dp_describe('folk'); ALTER TABLE folk RENAME TO folk2; ALTER TABLE folk2 RENAME TO folk",
	'nor anything else');

# Types and labels: a stored model must not come back through somebody else's cast or type of the same name.
value($node, 'attacker', "CREATE DOMAIN evil.int4 AS text; CREATE DOMAIN evil.text AS pg_catalog.text CHECK "
	  . "(evil.caught(VALUE))");
quietly($node, 'consumer', "$path SELECT dp_synthesize('m', 3)", 'nor do types of the same name matter');

# ---------------------------------------------------------------- policies and views run as who reads, and no more

value($node, undef, <<'EOC');
CREATE TABLE spoils (who text);
GRANT INSERT, SELECT ON spoils TO PUBLIC;
CREATE TABLE secrets (s text);
INSERT INTO secrets VALUES ('the secret');
EOC
people($node, 'traps', 300, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('traps', epsilon => 30)");

# A policy whose function is not leakproof applies to a trainer: refused, without an assertion.
value($node, 'owner', <<'EOC');
CREATE FUNCTION peek(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN true; END $$;
ALTER TABLE traps ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON traps USING (peek(age));
GRANT SELECT ON traps TO trainer;
EOC
refused($node, 'trainer', "SELECT dp_train('trap', 'traps', epsilon => 0.2)", '0A000', qr/row security/,
	'a policy that is not leakproof');
is(charges($node, 'traps') =~ /spent/ ? 'spent' : '', '', 'costs nothing that counts');
can_train($node, 'owner', 'trap_owner', 'traps', 'who is above the policy is not concerned by it', epsilon => 0.2);

# With an administrator's assertion its function runs: as the reader, and with no way up.
value($node, 'admin', "SELECT dp_protect('traps', budget => 'traps', assert_stable => true)");
my %attempt = (
	'reads what the reader may not' => "PERFORM * FROM secrets",
	'becomes another' => "EXECUTE 'SET SESSION AUTHORIZATION postgres'",
	'takes on a role' => "EXECUTE 'SET ROLE postgres'",
	'resets itself' => "EXECUTE 'RESET ROLE'; PERFORM * FROM secrets",
	'writes' => "INSERT INTO spoils VALUES (current_user)",
	'leaves something behind' => "EXECUTE 'CREATE TEMP TABLE left_behind (a int)'",
	'does what a restricted operation may not' => "EXECUTE 'UNLISTEN *'",
	'reads the ledger' => "PERFORM * FROM mirage.ledger",
	'says what it saw' => "RAISE EXCEPTION 'the age is %', \$1",
	'says it by another code' => "RAISE EXCEPTION 'the age is %', \$1 USING ERRCODE = 'insufficient_privilege', HINT "
	  . "= 'the age is ' || \$1",
	'says it as a lack of memory' => "RAISE EXCEPTION 'the age is %', \$1 USING ERRCODE = 'out_of_memory', DETAIL = "
	  . "'the age is ' || \$1",
	'says it by an SQLSTATE' => "RAISE EXCEPTION 'x' USING ERRCODE = 'AGE' || \$1",
);
for my $what (sort keys %attempt)
{
	value($node, 'owner', "CREATE OR REPLACE FUNCTION peek(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS "
		  . "\$\$ BEGIN $attempt{$what}; RETURN true; END \$\$");
	$serial++;
	my ($code, undef, $said) = run_as($node, 'trainer', "SELECT dp_train('trap_$serial', 'traps', epsilon => 0.2)");

	isnt($code, 0, "a policy that $what: the training fails");
	unlike($said, qr/the age is|the secret|AGE\d\d/, 'and nothing of it is said');
}
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/the age is \d/, 'nor in the log of the server');
is(value($node, undef, 'SELECT count(*) FROM spoils'), '0', 'nothing was written');
value($node, 'owner', "CREATE OR REPLACE FUNCTION peek(int) RETURNS boolean LANGUAGE plpgsql VOLATILE AS \$\$ BEGIN "
	  . "RETURN current_user = 'trainer' AND session_user = 'trainer' AND current_setting('transaction_read_only') = "
	  . "'on'; END \$\$");
can_train($node, 'trainer', 'trap_as', 'traps', 'it runs as the reader, read-only', epsilon => 5);
cmp_ok(value($node, 'trainer', "SELECT count(*) FROM dp_synthesize('trap_as') AS t(age int)"), '>', 200,
	'and lets the rows through');
is(value($node, undef, "SELECT card->>'stability' FROM dp_models WHERE name = 'trap_as'"), 'asserted',
	'the card says what was asserted');

# ---------------------------------------------------------------- views

value($node, 'owner', <<'EOC');
CREATE VIEW plain AS SELECT age, sex FROM folk WHERE age >= 40;
CREATE VIEW joined AS SELECT a.age, b.sex FROM folk a JOIN folk b USING (id);
CREATE VIEW counted AS SELECT age, count(*) AS n FROM folk GROUP BY age;
CREATE VIEW nested AS SELECT age, sex FROM plain WHERE sex = 'Male';
CREATE VIEW doubled AS SELECT age, generate_series(1, 2) AS g FROM folk;
CREATE VIEW twice AS SELECT age FROM folk UNION ALL SELECT age FROM folk;
CREATE VIEW first AS SELECT age FROM folk ORDER BY age LIMIT 10;
CREATE VIEW looked AS SELECT age, (SELECT max(age) FROM folk) AS m FROM folk;
CREATE VIEW random AS SELECT age, random() AS r FROM folk;
CREATE VIEW leaky AS SELECT age, 1 / (age - 100) AS x FROM folk;
GRANT SELECT ON plain, joined TO trainer;
EOC
for my $view (qw(joined counted doubled twice first looked random leaky))
{
	refused($node, 'owner', "SELECT dp_train('x', '$view', epsilon => 0.2)", '0A000', qr/HINT/,
		"the view $view is refused");
}
for my $view (qw(plain nested))
{
	my $n = value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'folk'");

	can_train($node, 'owner', "v_$view", $view, "the view $view trains");
	is(value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'folk'") - $n, 1,
		'and is charged to the table under it');
}
can_train($node, 'trainer', 'v_trainer', 'plain', 'a trainer with SELECT on the view trains');
refused($node, 'sharer', "SELECT dp_train('x', 'plain', epsilon => 0.2)", '42501', undef,
	'a share does not reach through views of others');
refused($node, 'owner', "SELECT dp_protect('plain', epsilon => 5)", '42809', qr/is a view/,
	'a view has no budget of its own');
refused($node, undef, "SELECT dp_train('x', 'mirage.ledger')", '0A000', undef, 'nor are our own tables a source');
refused($node, undef, "SELECT dp_train('x', 'pg_catalog.pg_class')", '0A000', undef, 'nor catalogs');

# ---------------------------------------------------------------- one people, many tables

value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
CREATE TABLE parted (id int, age int, region text NOT NULL) PARTITION BY LIST (region);
CREATE TABLE parted_n PARTITION OF parted FOR VALUES IN ('north');
CREATE TABLE parted_s PARTITION OF parted FOR VALUES IN ('south');
INSERT INTO parted SELECT i, i % 80, CASE i % 2 WHEN 0 THEN 'north' ELSE 'south' END FROM generate_series(1, 1000) i;
SELECT dp_protect('parted', epsilon => 3);
SELECT dp_train('parted_1', 'parted', epsilon => 1);
SELECT dp_train('parted_2', 'parted_n', epsilon => 1);
CREATE TABLE elders (id int, age int);
CREATE TABLE heirs (extra text) INHERITS (elders);
INSERT INTO heirs SELECT i, i % 80, 'x' FROM generate_series(1, 500) i;
SELECT dp_protect('heirs', epsilon => 3);
SELECT dp_train('heirs_1', 'heirs', epsilon => 1);
SELECT dp_train('heirs_2', 'elders', epsilon => 1);
EOC
is(charges($node, 'parted'), 'parted_1:spent, parted_2:spent', 'a partition is charged to its parent\'s budget');
is(charges($node, 'heirs'), 'heirs_1:spent, heirs_2:spent', 'a parent to its child\'s');
refused($node, 'owner', "SELECT dp_protect('parted_s', epsilon => 3)", '55000', qr/budget/,
	'a partition gets no budget of its own');
refused($node, 'owner', "SELECT dp_protect('elders', epsilon => 3)", '55000', qr/budget/, 'nor does a parent');
value($node, 'owner', "CREATE TABLE parted_w PARTITION OF parted FOR VALUES IN ('west')");
can_train($node, 'owner', 'parted_3', 'parted', 'a partition that came later is learnt from with the others');
value($node, 'owner', "ALTER TABLE parted DETACH PARTITION parted_s; ALTER TABLE parted DETACH PARTITION parted_w; "
	  . "CREATE TABLE third (id int, age int)");
refused($node, 'owner', "SELECT dp_protect('$_', epsilon => 3)", '55000', qr/budget => 'parted'/,
	"$_, detached, keeps its budget")
  for ('parted_s', 'parted_w');
can_train($node, 'owner', 'parted_4', 'parted_s', 'and is charged to it', epsilon => 0.2);
is(charges($node, 'parted'), 'parted_1:spent, parted_2:spent, parted_3:spent, parted_4:spent', 'as everything before');
value($node, 'owner', "SELECT dp_protect('third', epsilon => 3); ALTER TABLE third INHERIT elders");
refused($node, 'owner', "SELECT dp_train('x', 'elders', epsilon => 0.1)", '55000', undef,
	'two budgets under one parent are refused');

# Joining a budget takes its owner, or an administrator.
value($node, undef, 'CREATE ROLE rival LOGIN; GRANT CREATE ON SCHEMA public TO rival');
value($node, 'rival', 'CREATE TABLE rivals AS SELECT 1 AS a');
refused($node, 'rival', "SELECT dp_protect('rivals', budget => 'folk')", '42501', undef,
	'another\'s budget cannot be joined');
quietly($node, 'rival', "SELECT dp_create_budget('public.folk', 1)",
	'a budget may be called like a table of another\'s');
refused($node, 'rival', "SELECT dp_protect('folk', budget => 'public.folk')", '42501', undef,
	'and is of no use for it');

audit_ok($node, 'the log is whole');
$node->stop;
done_testing();
