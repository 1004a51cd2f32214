# Attacks by what is handed in: names, documents and numbers made to break things, statements for dp_trace and
# dp_hash_rows, tables with traps, forged receipts, old snapshots; and what an extension owner who is no superuser
# comes to.
use strict;
use warnings;

use Mirage;
use Test::More;

$ENV{PGCLIENTENCODING} = 'UTF8';
my $node = new_node('inputs', init => { extra => [ '--encoding=UTF8', '--locale=C' ] });
my $quiet = 'SET client_min_messages = error;';

value($node, undef, "CREATE ROLE $_ LOGIN") for qw(attacker owner grantee auditor admin);
value($node, undef, <<'EOC');
GRANT CREATE ON SCHEMA public TO owner, attacker, grantee;
GRANT mirage_auditor TO auditor;
GRANT mirage_admin TO admin;
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
GRANT USAGE ON FOREIGN SERVER models TO grantee, owner;
CREATE TABLE canary AS SELECT 1 AS alive;
EOC
people($node, 'folk', 400, owner => 'owner');
value($node, 'owner', <<"EOC");
$quiet
SELECT dp_protect('folk', epsilon => 1000);
SELECT dp_train('m', 'folk', epsilon => 1, delta => 1e-14, method => 'independent');
SELECT dp_grant('m', 'grantee');
CREATE FOREIGN TABLE ft (age int, sex text) SERVER models OPTIONS (model 'm', rows '20', seed '1');
GRANT SELECT ON ft TO PUBLIC;
EOC

sub issuances { return value($node, undef, 'SELECT count(*) FROM mirage.issuance' . (@_ ? " WHERE $_[0]" : '')); }
sub latest { return value($node, undef, 'SELECT max(id) FROM mirage.issuance'); }

# ---------------------------------------------------------------- names

# Each is a table, its columns, a budget, a model, a role, a purpose, a recipient and a foreign table at once.
my @names = (
	q{quote"quote}, q{it's}, q{a; DROP TABLE canary; --}, q{'); DROP TABLE canary; --}, q{$$ DROP TABLE canary $$},
		q{back\\slash\\'}, q<{"a": [1, ">, q{%s%n%1$s}, q{a.b},
	q{SELECT}, q{../../../etc/passwd}, q{`touch x`}, "\x{440}\x{43e}\x{43b}\x{44c}", "\x{202e}evil\x{202c}",
		"e\x{301}", 'n' x 63, "\x{e9}" x 31, q{public}, q{NULL}, q{-},
);
utf8::encode($_) for @names;
my @controls = ("line\nbreak", "tab\tstop", "bell\a");

sub ident { my $s = shift; $s =~ s/"/""/g; return "\"$s\""; }
sub literal { my $s = shift; my $e = $s =~ s/\\/\\\\/g ? 'E' : ''; $s =~ s/'/''/g; return "$e'$s'"; }
sub json { my $s
	= shift; $s =~ s/([\\"])/\\$1/g; $s =~ s/([\x00-\x1f])/sprintf('\\u%04x', ord($1))/ge; return "\"$s\""; }

my $made = 0;
for my $name (@names)
{
	my ($i, $l, $other, $second) = (ident($name), literal($name), ident(substr($name, 0, 20) . ' 2'),
		literal(substr($name, 0, 20) . ' 2'));
	my $role = $name =~ /^(public|-)$/ ? ident("$name role") : $i;
	my $shown = $name =~ /^n+$/ ? 'of 63 bytes' : $name;

	$made++;
	quietly($node, undef, "CREATE ROLE $role LOGIN", "$shown: a role") or next;
	quietly($node, 'owner', <<EOC, "$shown: everything about a table, a model and a role of that name");
$quiet
CREATE SCHEMA IF NOT EXISTS s$made;
CREATE TABLE s$made.$i ($i text CHECK ($i IN ($l, 'other', 'third')), $other int CHECK ($other BETWEEN 0 AND 9), id
  int PRIMARY KEY);
INSERT INTO s$made.$i SELECT CASE WHEN g % 2 = 0 THEN $l ELSE 'other' END, g % 10, g FROM generate_series(1, 300) g;
SELECT dp_create_budget($l || ' budget', 1000);
SELECT dp_protect('s$made.$i'::regclass, budget => $l || ' budget');
SELECT dp_set_column('s$made.$i', $l, kind => 'category', categories => ARRAY[$l, 'other', 'third']);
SELECT dp_set_column('s$made.$i', $second, kind => 'category', depends_on => ARRAY[$l]::name[]);
SELECT dp_grant_budget($l || ' budget', (SELECT oid::regrole FROM pg_roles WHERE rolname = trim(both '"' from
  replace(\$role\$$role\$role\$, '""', '"'))), 1);
SELECT dp_describe('s$made.$i');
SELECT dp_train($l || ' model', 's$made.$i', 'mst', 5, 1e-14);
SELECT dp_grant($l || ' model', 'grantee', purposes => ARRAY[$l], columns => ARRAY[$l]::name[], conditions =>
  jsonb_build_object($l, $l));
SELECT dp_synthesize($l || ' model', 5, jsonb_build_object($l, $l), purpose => $l);
SELECT * FROM dp_synthesize_as(NULL::s$made.$i, $l || ' model', 5);
SELECT dp_materialize($l || ' model', \$t\$s$made.$other\$t\$, 300);
CREATE FOREIGN TABLE s$made.${\ident(substr($name, 0, 20) . ' 3')} ($i text, $other int) SERVER models OPTIONS (model
  ${\literal("$name model")}, rows '10', condition ${\literal('{' . json($name) . ': ' . json($name) . '}')});
SELECT * FROM s$made.${\ident(substr($name, 0, 20) . ' 3')} WHERE $i = $l;
EXPLAIN (ANALYZE, VERBOSE) SELECT $i FROM s$made.${\ident(substr($name, 0, 20) . ' 3')} WHERE $i = $l;
CREATE SCHEMA i$made;
IMPORT FOREIGN SCHEMA x LIMIT TO (${\ident("$name model")}) FROM SERVER models INTO i$made;
ALTER TABLE s$made.$i RENAME COLUMN $i TO renamed;
ALTER TABLE s$made.$i RENAME TO renamed;
ALTER TABLE s$made.renamed RENAME TO $i;
SELECT dp_withdraw($l || ' model', $l);
EOC
	is(value($node, 'auditor', "SELECT bool_and(p_value > 0) FROM dp_trace('TABLE s$made.' || quote_ident($second), "
		  . "$l || ' model')"), 't', "$shown: traced")
	  if value($node, undef, "GRANT USAGE ON SCHEMA s$made TO auditor; GRANT SELECT ON ALL TABLES IN SCHEMA s$made "
		  . "TO auditor; SELECT 1");
	my $id = latest();
	is(value($node, undef, "SELECT dp_verify_receipt(dp_receipt($id)) AND dp_receipt($id)::text LIKE '%' || "
		  . "to_jsonb($l || ' model')::text || '%'"), 't', "$shown: a receipt")
	  unless $name =~ /[%\\]/;
}
for my $name (@controls)
{
	my $l = literal($name);

	refused($node, 'owner', "SELECT dp_create_budget($l, 1)", '42602', undef, 'no budget with a control character');
	refused($node, 'owner', "SELECT dp_train($l, 'folk')", '42602', undef, 'no model');
	refused($node, 'owner', "SELECT dp_synthesize('m', 1, purpose => $l)", '42602', undef, 'no purpose');
}
# Roles and columns may have them all the same.
value($node, undef, 'CREATE ROLE "line' . "\n" . 'break"" role" LOGIN');
quietly($node, 'owner', "$quiet CREATE TABLE broken (\"a\nb\" text, c boolean); INSERT INTO broken SELECT 'x', g % 2 "
	  . "= 0 FROM generate_series(1, 200) g; SELECT dp_protect('broken', epsilon => 100); "
	  . "SELECT dp_train('broken', 'broken', 'independent', 1, 1e-14); SELECT dp_grant('broken', '\"line\nbreak\"\" "
		  . "role\"'); SELECT * FROM dp_synthesize_as(NULL::broken, 'broken', 5); "
	  . "SELECT dp_materialize('broken', 'mended', 5)", 'line breaks in the names of roles and columns');
is(value($node, undef, "SET SESSION AUTHORIZATION \"line\nbreak\"\" role\"; SELECT dp_synthesize('broken', 1); RESET "
	  . "SESSION AUTHORIZATION; SELECT dp_verify_receipt(dp_receipt(${\latest()}))") =~ /t$/ ? 1 : 0, 1,
	'have receipts');
is(value($node, undef, 'SELECT alive FROM canary'), '1', 'no name became a statement');
audit_ok($node, 'nor confused the log');

# ---------------------------------------------------------------- documents

my %bomb = (
	'deep arrays' => "repeat('[', 5000) || repeat(']', 5000)",
	'deep objects' => "repeat('{\"age\":', 3000) || '1' || repeat('}', 3000)",
	'deep negation' => "'{\"age\":' || repeat('{\"not\":', 3000) || '1' || repeat('}', 3001)",
	'many members' => "'{' || (SELECT string_agg(format('\"c%s\": 1', g), ',') FROM generate_series(1, 100000) g) || "
		  . "'}'",
	'many values' => "'{\"age\": {\"in\": [' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 100000) g) "
		  . "|| ']}}'",
	'a long number' => "'{\"age\": 1' || repeat('0', 100000) || '}'",
	'a long text' => "'{\"sex\": \"' || repeat('x', 10000000) || '\"}'",
	'a tiny number' => "'{\"age\": 1e-16000}'",
	'a scalar' => "'1'", 'null' => "'null'", 'an array' => "'[]'",
	'bad UTF-16' => "'{\"sex\": \"\\ud800\"}'", 'a NUL' => "'{\"sex\": \"\\u0000\"}'",
);
my @eaters = (
	"SELECT dp_synthesize('m', 1, (BOMB)::jsonb)", "SELECT dp_train('bomb', 'folk', 'aim', 0.1, options => "
		  . "(BOMB)::jsonb)", "SELECT * FROM dp_plan('folk', 'aim', options => (BOMB)::jsonb)",
	"SELECT dp_grant('m', 'attacker', conditions => (BOMB)::jsonb)", "SELECT * FROM dp_compose((BOMB)::jsonb, 1e-9)",
		"SELECT * FROM dp_trace('TABLE folk', 'm', (BOMB)::jsonb)",
	"SELECT dp_materialize('m', 'pg_temp.bomb', 1, (BOMB)::jsonb)",
);
my $before = issuances();
value($node, undef, 'GRANT mirage_auditor TO owner');
for my $what (sort keys %bomb)
{
	for my $eater (@eaters)
	{
		next if $what eq 'an array' && $eater =~ /dp_compose/;    # of no events
		(my $sql = $eater) =~ s/BOMB/$bomb{$what}/g;
		my ($rc, undef, $err) = run_as($node, 'owner', "$quiet $sql");
		my ($state) = $err =~ /ERROR:\s+(\w{5}):/;

		# (what holds no value says so, too: null is no condition)
		like($state // 'none', qr/^(22\w{3}|42703|42704|42804|54\w{3}|0A000)$/, "$what: " . substr($eater, 0,
			40)) or diag(substr($err, 0, 300));
		cmp_ok(length($err), '<', 5000, 'and the message is no bomb itself');
	}
	is(value($node, 'attacker', "SELECT dp_verify_receipt(($bomb{$what})::jsonb)"), 'f', "$what is no receipt")
	  unless $what =~ /UTF-16|NUL/;
}
is(issuances(), $before, 'nothing was released by that');
# What jsonb takes at its deepest.
my $deepest = value($node, undef, <<'EOC');
CREATE FUNCTION deep() RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 1000;
BEGIN
  LOOP
    PERFORM (repeat('[', n) || repeat(']', n))::jsonb;
    n := n + 250;
  END LOOP;
EXCEPTION WHEN statement_too_complex THEN RETURN n - 250;
END $$;
SELECT deep();
EOC
for my $n ($deepest, int($deepest * 0.9), int($deepest / 2))
{
	my ($rc, $out, $err) = run_as($node, 'attacker', "SELECT dp_verify_receipt(jsonb_set(dp_receipt_like, '{x}', "
		  . "(repeat('[', $n) || repeat(']', $n))::jsonb)) FROM (SELECT '{\"proof\": {\"proofValue\": "
		  . "\"z1\", \"type\": \"DataIntegrityProof\", \"cryptosuite\": \"eddsa-jcs-2022\"}, \"x\": 1}'::jsonb AS "
			  . "dp_receipt_like) s");

	ok($out eq 'f' || $err =~ /54001/, "a receipt $n deep") or diag("$out\n$err");
}

# ---------------------------------------------------------------- numbers

for my $call ("dp_create_budget('x', E)", "dp_alter_budget('folk', epsilon => E)",
	"dp_protect('canary', epsilon => E)", "dp_grant_budget('folk', 'attacker', E)",
	"dp_train('x', 'folk', epsilon => E)",
	"dp_plan('folk', epsilon => E)")
{
	for my $e ("'NaN'", "'Infinity'", "'-Infinity'", '-1', '0', '-0.0::float8', "'-1e-308'")
	{
		(my $sql = $call) =~ s/E\)/$e)/;
		refused($node, undef, "SELECT $sql", '22023', undef, $sql);
	}
}
refused($node, 'owner', "SELECT dp_create_budget('x', 1, $_)", '22023', undef, "delta $_") for ("'NaN'", '0', '1',
	'-1', "'Infinity'", '1.0000001');
refused($node, 'owner', "SELECT dp_train('x', 'folk', epsilon => 1, delta => $_)", '22023', undef,
	"delta $_ of a training") for ("'NaN'", '0', '1', '-1');
my ($rc, $out, $err);
for my $n ('-1', '-9223372036854775808')
{
	refused($node, 'grantee', "SELECT dp_synthesize('m', $n)", '22023', undef, "$n rows");
	refused($node, 'grantee', "SELECT dp_materialize('m', 'pg_temp.x', $n)", '22023', undef, "$n rows into a table");
	refused($node, 'owner', "SELECT dp_grant('m', 'attacker', max_rows => $n)", '22023', undef, "a grant of $n rows");
}
is(value($node, 'grantee', "SELECT count(*) FROM dp_synthesize('m', 0) AS t(age int)"), '0', 'no rows');
my $most = '9223372036854775807';
is(value($node, 'grantee', "SELECT count(*) FROM (SELECT * FROM dp_synthesize('m', $most) AS t(age int) LIMIT 10) "
	  . "s"), '10', 'as many as there can be, of which ten are read');
is(value($node, 'grantee', "SELECT count(*) FROM (SELECT dp_synthesize('m', $most) LIMIT 10) s"), '10',
	'in the select list');
value($node, 'owner', "SELECT dp_grant('m', 'attacker', max_rows => $most)");
value($node, 'attacker', "SELECT * FROM dp_synthesize('m', $most) AS t(age int) LIMIT 1");
refused($node, 'attacker', "SELECT dp_synthesize('m', 1)", '54000', undef, 'a grant of that many is used up by that');
refused($node, 'attacker', "SELECT dp_synthesize('m', $most)", '54000', undef, 'and does not wrap around');
is(value($node, 'attacker', "SELECT used, remaining FROM dp_grants WHERE grantee = 'attacker'"), "$most|0",
	'nor does the view');
value($node, 'owner', "SELECT dp_revoke('m', 'attacker')");
refused($node, 'owner', "SELECT dp_grant('m', 'attacker', max_rows => 1, per => '$_')", '22023', undef,
	"a window of $_") for ('-1 day', '0', '1 microsecond', '100000 years', '1 mon -31 days');
refused($node, 'owner', "SELECT dp_grant('m', 'attacker', valid_until => '$_')", '22023', undef, "until $_")
	for ('-infinity', '4713-01-01 BC', '2000-01-01');
refused($node, 'owner', "SELECT dp_create_budget('x', 1, period => '$_')", '22023', undef, "a period of $_")
	for ('-1 day', '0');
refused($node, 'owner', "SELECT dp_protect('canary', budget => 'folk', max_rows_per_unit => $_)", '22023', undef,
	"$_ rows a unit") for (0, -1, 2147483647);
refused($node, 'owner', "SELECT dp_set_column('folk', 'age', bins => $_)", '22023', undef, "$_ bins") for (0, -1,
	2147483647);
refused($node, 'owner', "SELECT dp_wait($_)", '42704', undef, "job $_") for (0, -1, $most, '-9223372036854775808');
refused($node, 'attacker', "SELECT dp_receipt($_)", '42501', undef, "receipt $_") for (0, -1, $most,
	'-9223372036854775808');
refused($node, undef, "SELECT dp_grant('m', '-')", '42704', undef, 'a grant to nobody');
refused($node, undef, "SELECT dp_grant('m', 'public')", '42704', undef, 'nor to all');
refused($node, undef, "SELECT dp_protect($_, epsilon => 1)", qr/42P01|42809/, undef, "relation $_") for (0,
	4294967295, "'pg_class'", "'mirage.ledger'", "'pg_toast.pg_toast_2619'", "'mirage.log_id'", "'dp_models'",
	"'folk_pkey'");
quietly($node, 'attacker', "SELECT mirage.job_progress($_, $_), mirage.budget_figures($_), mirage.is_me(4294967295, "
	  . "'x', '$_'), mirage.owns(4294967295, '')", "what stands behind views, of $_")
  for (0, -1, $most, '-9223372036854775808');
is(value($node, 'attacker', "SELECT mirage.budget_figures(id) FROM generate_series(1, 5) id WHERE "
	  . "(mirage.budget_figures(id)).visible"), '', 'tells nothing of others\' budgets');
is(value($node, 'attacker', "SELECT string_agg(DISTINCT mirage.may_release(m)::text, '') FROM "
	  . "unnest('{m,broken,nothing}'::text[]) m"), 'false', 'nor whether there is a model');

# ---------------------------------------------------------------- statements for dp_trace and dp_hash_rows

value($node, 'auditor', <<'EOC');
CREATE TEMP TABLE none (a int);
EOC
value($node, undef, <<'EOC');
GRANT CREATE ON SCHEMA public TO auditor;
EOC
value($node, 'auditor', <<'EOC');
CREATE TABLE notes (a int);
CREATE SEQUENCE counter;
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (1); RETURN 1; END $$;
CREATE FUNCTION writes_unseen() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes VALUES (1); RETURN 1;
  EXCEPTION WHEN OTHERS THEN RETURN 2; END $$;
CREATE FUNCTION opens_up() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET LOCAL transaction_read_only = off; INSERT INTO
  notes VALUES (1); RETURN 1; END $$;
CREATE FUNCTION opens_up_below() RETURNS int LANGUAGE plpgsql AS $$ BEGIN BEGIN PERFORM
  set_config('transaction_read_only', 'off', false); EXCEPTION WHEN OTHERS THEN NULL; END; INSERT INTO notes VALUES
  (1); RETURN 1; END $$;
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'on purpose'; END $$;
CREATE FUNCTION commits() RETURNS int LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN 1; END $$;
CREATE FUNCTION grants() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM dp_grant('m', 'attacker'); RETURN 1; END $$;
CREATE FUNCTION makes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE made (a int); RETURN 1; END $$;
CREATE FUNCTION leaves_cursor() RETURNS int LANGUAGE plpgsql AS $$ DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; RETURN
  1; END $$;
EOC
my $cols = "30 AS age, 'Male'::text AS sex";
my @refused_statements = (
	[ "INSERT INTO notes VALUES (1) RETURNING a AS age, a AS sex", '22023' ],
		[ "WITH w AS (INSERT INTO notes VALUES (1) RETURNING a) SELECT a AS age, a AS sex FROM w", '22023' ],
	[ "SELECT $cols INTO notes2", '22023' ], [ "CREATE TABLE notes2 AS SELECT $cols", '22023' ],
		[ "SELECT 1 AS age, 2 AS sex; SELECT 1 AS age, 2 AS sex", '22023' ],
	[ "SELECT $cols; DROP TABLE notes", '22023' ], [ 'DROP TABLE notes', '22023' ],
		[ 'SELECT a AS age, a AS sex FROM notes FOR UPDATE', '22023' ],
	[ "EXPLAIN ANALYZE SELECT $cols", '22023' ], [ 'COPY notes TO STDOUT', '22023' ],
		[ "DO \$x\$ BEGIN NULL; END \$x\$", '22023' ], [ 'SET ROLE owner', '22023' ], [ 'BEGIN', qr/22023|0A000/ ],
	[ 'COMMIT', qr/22023|0A000/ ], [ 'SHOW all', '22023' ], [ '', '22023' ], [ '-- nothing', '22023' ], [ ';',
		'22023' ], [ "DECLARE c CURSOR FOR SELECT $cols", '22023' ],
	[ 'LOCK TABLE notes', '22023' ], [ 'VACUUM notes', '22023' ], [ "PREPARE p AS SELECT $cols", '22023' ],
		[ 'LISTEN x', '22023' ], [ "SELECT \$1 AS age, 'a' AS sex", '42P02' ],
	[ "SELECT writes() AS age, 'a' AS sex", '25006' ], [ "SELECT opens_up() AS age, 'a' AS sex", qr/25001|25006/ ],
		[ "SELECT opens_up_below() AS age, 'a' AS sex", '25006' ],
	[ "SELECT nextval('counter') AS age, 'a' AS sex", '25006' ], [ "SELECT makes() AS age, 'a' AS sex", '25006' ],
		[ "SELECT fails() AS age, 'a' AS sex", 'P0001' ],
	[ "SELECT commits() AS age, 'a' AS sex", '2D000' ], [ "SELECT grants() AS age, 'a' AS sex", qr/25006|42501/ ], 
	[ "SELECT dp_create_budget('sneaked', 1)::text AS age, 'a' AS sex", '25006' ],
		[ "SELECT dp_train('sneaked', 'folk') AS age, 'a' AS sex", qr/25006|42501/ ],
	[ "SELECT 1 / 0 AS age, 'a' AS sex", '22012' ], [ "SELECT * FROM folk", '42501' ],
		[ "SELECT id AS age, action AS sex FROM mirage.log", '42501' ],
		[ "SELECT dp_materialize('m', 'notes', 1) AS age, 'a' AS sex", '25006' ],
	[ "SELECT pg_read_file('pg_mirage.key') AS age, 'a' AS sex", '42501' ],
);
for my $reader ('dp_trace', 'dp_hash_rows')
{
	for my $case (@refused_statements)
	{
		my ($sql, $state) = @$case;
		my ($code, undef, $said) = run_as($node, 'auditor', "SELECT $reader(${\literal($sql)}); SELECT 1");

		ok($code != 0 && $said =~ /ERROR:\s+(?:$state):/ || ($reader eq 'dp_hash_rows' && $state eq '22023'
			&& $said =~ /ERROR:\s+(?:22023|0A000|25006|42601):/), "$reader: $sql")
		  or diag("wanted $state:\n$said");
		unlike($said, qr/[0-9a-f]{64}/, 'which shows no key') if $sql =~ /key/;
	}
	# The state afterwards is that before, whatever the query did; where it failed inside of a block that goes on, too.
	quietly($node, 'auditor', <<EOC, "$reader leaves the transaction as it was");
BEGIN;
DO \$\$ BEGIN PERFORM $reader('SELECT fails() AS age, ''a'' AS sex'); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;
INSERT INTO notes VALUES (2);
SAVEPOINT s;
SELECT $reader('SELECT leaves_cursor() AS age, writes_unseen() AS sex, ''a''::text AS city, true AS member');
INSERT INTO notes VALUES (2);
SAVEPOINT t;
DO \$\$ BEGIN PERFORM $reader('SELECT 1'); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;
INSERT INTO notes VALUES (2);
COMMIT;
EOC
	is(value($node, 'auditor', 'SELECT count(*) FILTER (WHERE a = 1), count(*) FILTER (WHERE a = 2) FROM notes'),
		$reader eq 'dp_trace' ? '0|3' : '0|6', 'and nothing written that was not asked for');
}
is(value($node, undef, "SELECT count(*) FROM dp_grants WHERE grantee = 'attacker'"), '0',
	'no grant was made on the way');
is(value($node, undef, "SELECT count(*) FROM pg_class WHERE relname IN ('notes2', 'made')"), '0', 'nor table');
quietly($node, 'auditor', "SELECT * FROM dp_trace('SELECT age, sex, dp_hash_rows(''SELECT 1'') AS h FROM (SELECT "
	  . "$cols) s')" =~ s/'Male'/''Male''/r, 'readers within readers');
$before = issuances();
refused($node, 'auditor', "SELECT * FROM dp_trace('SELECT age, sex FROM ft')", '42501', undef,
	'a trace reads nothing that who asks could not');
is(issuances(), $before, 'and that is no release');
value($node, undef, "SELECT * FROM dp_trace('SELECT age, sex FROM ft')");
is(issuances(), $before + 1, 'one that may is recorded as what it is');

# ---------------------------------------------------------------- tables with traps

value($node, 'attacker', <<'EOC');
CREATE TABLE trap (age int, sex text);
GRANT INSERT, SELECT ON trap TO PUBLIC;
CREATE TABLE trap_log (what text);
GRANT INSERT ON trap_log TO PUBLIC;
CREATE FUNCTION spring() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  EXECUTE current_setting('trap.code');
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE INSERT ON trap FOR EACH ROW EXECUTE FUNCTION spring();
CREATE TRIGGER s AFTER INSERT ON trap FOR EACH STATEMENT EXECUTE FUNCTION spring();
EOC
my %trap = (
	'looks at the batch' => [ 'SELECT count(*) FROM pg_mirage_batch', '42P01' ],
	'drops the table' => [ 'DROP TABLE trap', qr/42501|55006/ ],
	'changes the table' => [ 'ALTER TABLE trap ADD COLUMN more int', qr/42501|55006/ ],
	'commits' => [ 'COMMIT', qr/2D000|0A000/ ],
	'becomes another' => [ 'SET SESSION AUTHORIZATION postgres', '42501' ],
	'takes a role' => [ 'SET ROLE owner', '42501' ],
	'makes a claim' => [ "SET pg_mirage.recipient = 'owner'; SELECT dp_synthesize(''m'', 1)" =~ s/''/'/gr, '42501' ],
	'grants itself rows' => [ "SELECT dp_grant('m', 'attacker')", '42501' ],
	'reads the ledger' => [ 'SELECT * FROM mirage.ledger', '42501' ],
	'says what it saw' => [ "DO \$x\$ BEGIN RAISE EXCEPTION 'seen'; END \$x\$", 'P0001' ],
);
for my $what (sort keys %trap)
{
	my ($code, $state) = @{ $trap{$what} };

	$before = issuances();
	my ($rc, undef, $said) = run_as($node, 'grantee', "SET trap.code = \$c\$$code\$c\$; SELECT dp_materialize('m', "
		  . "'trap', 5)");
	ok($rc != 0 && $said =~ /ERROR:\s+(?:$state):/, "a trigger that $what") or diag($said);
	is(issuances() - $before, 1, 'the release before it stays on record');
	is(value($node, undef, 'SELECT count(*) FROM trap'), '0', 'and no row without one');
}
$before = issuances();
quietly($node, 'grantee', <<'EOC', 'a trigger that fills the table again, moves the search_path, catches errors');
SET trap.code = $c$
  DO $d$
  BEGIN
    PERFORM set_config('search_path', 'pg_temp', false);
    IF pg_trigger_depth() < 3 THEN PERFORM public.dp_materialize('m', 'public.trap', 2); END IF;
    BEGIN PERFORM public.dp_synthesize('nothing', 1); EXCEPTION WHEN OTHERS THEN NULL; END;
  END $d$
$c$;
SELECT public.dp_materialize('m', 'public.trap', 2);
EOC
my ($rows, $recorded) = split(/\|/, value($node, undef, "SELECT (SELECT count(*) FROM trap), (SELECT "
	  . "sum(requested_rows) FROM (SELECT requested_rows FROM mirage.issuance ORDER BY id DESC LIMIT "
	  . (issuances() - $before) . ') s)'));
is($rows, $recorded, "every one of $rows rows is on record");
cmp_ok($rows, '>', 10, 'which are those of calls within calls');
is(value($node, undef, "SELECT string_agg(DISTINCT recipient || role, '') FROM mirage.issuance i JOIN LATERAL "
	  . "(SELECT role_name AS role) r ON true WHERE path = 'materialize' AND id > " . (latest() - 5)), 'granteegrantee',
	'under the name of who called');

# ---------------------------------------------------------------- receipts

my $id = value($node, 'grantee', "SELECT count(age) FROM dp_synthesize('m', 3, hash => true) AS t(age int); SELECT "
	  . "max(id) FROM dp_issuances") =~ s/.*\n//r;
my $forge = <<EOC;
WITH RECURSIVE r AS (SELECT dp_receipt($id) AS doc),
leaf(path, value) AS (
  SELECT ARRAY[]::text[], doc FROM r
  UNION ALL
  SELECT path || e.key, e.value FROM leaf, LATERAL (
    SELECT key, value FROM jsonb_each(CASE jsonb_typeof(leaf.value) WHEN 'object' THEN leaf.value ELSE '{}' END)
    UNION ALL SELECT (n - 1)::text, value FROM jsonb_array_elements(CASE jsonb_typeof(leaf.value) WHEN 'array' THEN
      leaf.value ELSE '[]' END) WITH ORDINALITY a(value, n)) e),
forged AS (
  SELECT path, 'removed' AS how, doc #- path AS made FROM r, leaf WHERE path <> '{}'
  UNION ALL SELECT path, 'null', jsonb_set(doc, path, 'null') FROM r, leaf WHERE path <> '{}' AND value <> 'null'
  UNION ALL SELECT path, 'text', jsonb_set(doc, path, to_jsonb((value #>> '{}') || ' ')) FROM r, leaf WHERE path <>
    '{}' AND jsonb_typeof(value) = 'string'
  UNION ALL SELECT path, 'number', jsonb_set(doc, path, to_jsonb((value #>> '{}')::numeric + 1)) FROM r, leaf WHERE
    jsonb_typeof(value) = 'number'
  UNION ALL SELECT path, 'number as text', jsonb_set(doc, path, to_jsonb(value #>> '{}')) FROM r, leaf WHERE
    jsonb_typeof(value) = 'number'
  UNION ALL SELECT path, 'boolean', jsonb_set(doc, path, to_jsonb(NOT (value #>> '{}')::boolean)) FROM r, leaf WHERE
    jsonb_typeof(value) = 'boolean'
  UNION ALL SELECT path, 'more', jsonb_set(doc, path || '{more}'::text[], '1', true) FROM r, leaf WHERE
    jsonb_typeof(value) = 'object' AND path <> '{}'
  UNION ALL SELECT path, 'wrapped', jsonb_set(doc, path, jsonb_build_array(value)) FROM r, leaf WHERE path <> '{}'
  UNION ALL SELECT '{}', 'more', doc || '{"more": 1}' FROM r)
SELECT count(*), count(*) FILTER (WHERE dp_verify_receipt(made)), string_agg(path::text || ' ' || how, ', ') FILTER
  (WHERE dp_verify_receipt(made)) FROM forged, r WHERE made <> doc
EOC
my ($forged, $taken, $which) = split(/\|/, value($node, 'grantee', $forge));
cmp_ok($forged, '>', 150, "$forged forgeries of a receipt");
is("$taken " . ($which // ''), '0 ', 'none of which is taken');
is(value($node, 'grantee', "SELECT dp_verify_receipt(dp_receipt($id)), dp_verify_receipt(dp_receipt($id), "
	  . "dp_public_key('receipt'))"), 't|t', 'as the receipt is');
is(value($node, 'grantee', "SELECT dp_verify_receipt(dp_receipt($id), dp_public_key('log')), "
	  . "dp_verify_receipt(dp_receipt($id), repeat('0', 64)), dp_verify_receipt(dp_receipt($id), "
	  . "'01' || repeat('0', 62))"), 'f|f|f', 'under no other key, nor under one of small order');
is(value($node, 'grantee', "SELECT dp_verify_receipt(jsonb_set(dp_receipt($id), '{proof,proofValue}', to_jsonb('z' "
	  . "|| repeat('1', n)))) FROM generate_series(0, 100, 50) n"), "f\nf\nf",
	'nor with a signature of zeroes');
refused($node, 'grantee', "SELECT dp_verify_receipt('{}', $_)", '22023', undef, 'nor a key that is none') for ("''",
	"'x'", "repeat('z', 100000)", "'z6Mk'", "E'-----BEGIN PUBLIC KEY-----\\n'");
# Of another database, whose key nobody here knows.
value($node, undef, 'CREATE DATABASE elsewhere');
value($node, undef, "$quiet CREATE EXTENSION pg_mirage; CREATE TABLE t (a boolean, b boolean); INSERT INTO t SELECT "
	  . "true, false FROM generate_series(1, 100); SELECT dp_protect('t', epsilon => 10); "
	  . "SELECT dp_train('m', 't', 'independent'); SELECT dp_synthesize('m', 1)", db => 'elsewhere');
my ($foreign, $theirs) = split(/\x01/, value($node, undef, "SELECT dp_receipt(1)::text || chr(1) || dp_public_key()",
	db => 'elsewhere'));
is(value($node, undef, "SELECT dp_verify_receipt(\$r\$$foreign\$r\$), dp_verify_receipt(\$r\$$foreign\$r\$, "
	  . "'$theirs')"), 'f|t', 'another database\'s receipt is its own');

# ---------------------------------------------------------------- old snapshots

value($node, 'owner', "GRANT SELECT ON ft TO grantee; CREATE VIEW ft_view AS SELECT * FROM ft; GRANT SELECT ON "
	  . "ft_view TO grantee");
value($node, undef, "GRANT USAGE ON SCHEMA public TO PUBLIC");
my @asked = ("SELECT dp_synthesize('m', 1)", "SELECT count(age) FROM dp_synthesize('m', 1) AS t(age int)",
	'EXECUTE prepared', 'FETCH unread', 'SELECT count(age) FROM ft', 'FETCH unread_ft',
	"SELECT dp_materialize('m', 'pg_temp.late', 1)");
sub reader
{
	my $s = session($node, 'grantee');

	$s->query("SET plan_cache_mode = force_generic_plan; SET client_min_messages = error; PREPARE prepared AS SELECT "
		  . "count(age) FROM dp_synthesize('m', 1) AS t(age int); EXECUTE prepared");
	$s->query("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM dp_models; DECLARE unread CURSOR FOR "
		  . "SELECT dp_synthesize('m', 1); DECLARE unread_ft CURSOR FOR SELECT age FROM ft; "
		  . "DECLARE half CURSOR FOR SELECT age FROM dp_synthesize('m', 100) AS t(age int); FETCH half");
	return $s;
}
for my $end ([ "SELECT dp_revoke('m', 'grantee')", '42501', "SELECT dp_grant('m', 'grantee')", 'a revocation' ],
	[ "SELECT dp_withdraw('m', 'enough')", '55000', undef, 'a withdrawal' ], [ "SELECT dp_drop_model('m')", '42704',
		undef, 'a drop' ])
{
	my ($act, $state, $undo, $what) = @$end;
	my $s = reader();

	value($node, 'owner', $act);
	$before = issuances();
	for my $ask (@asked)
	{
		$s->query('SAVEPOINT p');
		$s->start($ask);
		$s->failed_with($state, undef, "$what holds for an older snapshot: $ask");
		$s->query('ROLLBACK TO p');
	}
	is($s->query('FETCH 99 FROM half') =~ tr/\n// + 1, 99, 'what was open is read to its end');
	$s->close;
	is(issuances(), $before, 'without another release');
	value($node, 'owner', $undo) if defined $undo;
	value($node, 'admin', "SELECT dp_approve('m', 'again')") if $what eq 'a withdrawal';
}
# A right that is taken from a role while it has a transaction open.
my $s = session($node, 'admin');
$s->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT dp_allow_claims(\'attacker\')');
value($node, undef, 'REVOKE mirage_admin FROM admin');
$s->start("SELECT dp_allow_claims('attacker', false)");
$s->failed_with('42501', undef, 'an administrator is one no longer than it is');
$s->query('ROLLBACK');
$s->close;
audit_ok($node, 'the log is whole');

# ---------------------------------------------------------------- an owner who is no superuser

# The extension takes a superuser to make. One who is none any more owns tables and functions, and no more than that.
value($node, undef, 'CREATE ROLE boss LOGIN SUPERUSER; CREATE DATABASE lean');
value($node, 'boss', 'CREATE EXTENSION pg_mirage', db => 'lean');
value($node, undef, 'ALTER ROLE boss NOSUPERUSER; GRANT CREATE ON SCHEMA public TO owner, attacker; CREATE SERVER '
	  . 'models FOREIGN DATA WRAPPER pg_mirage_fdw', db => 'lean');
people($node, 'folk', 400, owner => 'owner', db => 'lean');
quietly($node, 'owner', "$quiet SELECT dp_protect('folk', epsilon => 100); SELECT dp_train('m', 'folk', "
	  . "'independent', 1, 1e-14); SELECT dp_grant('m', 'grantee'); SELECT dp_synthesize('m', 2); "
	  . "SELECT dp_receipt(1); SELECT dp_materialize('m', 'made', 5); ALTER TABLE folk RENAME TO people; SELECT * "
		  . "FROM dp_budgets, dp_models, dp_jobs", 'all goes on as before', db => 'lean');
quietly($node, undef, "SELECT dp_trace('TABLE made'); SELECT dp_audit_head(); SELECT dp_rotate_key(); SELECT "
	  . "dp_set_model('m', false)", 'for administrators too', db => 'lean');
is(value($node, undef, 'SELECT ok FROM dp_verify_audit()', db => 'lean'), 't', 'the log is whole');
for my $call ("SELECT dp_synthesize('m', 1)", "SELECT dp_grant('m', 'boss')", "SELECT dp_train('x', 'people')",
	"SELECT dp_describe('people')", "SELECT dp_verify_audit()", "SELECT dp_audit_head()",
	"SELECT dp_trace('SELECT 1 AS age, 2 AS sex')", "SELECT dp_set_model('m', true)", 'SELECT dp_rotate_key()',
		"SELECT dp_approve('m', 'x')", "SELECT dp_receipt(1)", "SELECT dp_allow_claims('boss')",
	"SELECT dp_acknowledge_alert(1, 'x')", "SELECT dp_acknowledge_rewind('x')", "SELECT * FROM people",
		"CREATE FUNCTION mirage.x() RETURNS int LANGUAGE c AS 'pg_mirage', 'dp_train'",
	'CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION mirage.follow_names()')
{
	refused($node, 'boss', $call, '42501', undef, "the extension's owner: $call", db => 'lean');
}
is(value($node, 'boss', 'SELECT count(*) FROM dp_models; SELECT count(*) > 0 FROM mirage.model', db => 'lean'),
	"0\nt", 'sees models in the tables that it owns alone');
refused($node, 'boss', $_, '55000', undef, "and cannot: $_", db => 'lean') for ('DELETE FROM mirage.ledger',
	'TRUNCATE mirage.log', "UPDATE mirage.issuance SET recipient = 'x'");
value($node, 'boss', "ALTER TABLE mirage.issuance DISABLE TRIGGER refuse_change; UPDATE mirage.issuance SET "
	  . "recipient = 'x'; ALTER TABLE mirage.issuance ENABLE ALWAYS TRIGGER refuse_change", db => 'lean');
is(value($node, undef, 'SELECT ok FROM dp_verify_audit()', db => 'lean'), 'f', 'what it forces is found');

# Given away: who owns a table of ours owns nothing of the rest, and what is taken over stops instead of serving.
value($node, undef, 'CREATE DATABASE given TEMPLATE template0');
value($node, undef, 'CREATE EXTENSION pg_mirage; GRANT CREATE ON SCHEMA public TO owner, attacker', db => 'given');
people($node, 'folk', 300, owner => 'owner', db => 'given');
value($node, 'owner', "$quiet SELECT dp_protect('folk', epsilon => 100); SELECT dp_train('m', 'folk', 'independent', "
	  . "1, 1e-14)", db => 'given');
refused($node, undef, 'CREATE SCHEMA aside; ALTER EXTENSION pg_mirage SET SCHEMA aside', '0A000', undef,
	'the extension does not move', db => 'given');
refused($node, undef, 'ALTER SCHEMA mirage RENAME TO other', '42P01', undef, 'nor does its schema', db => 'given');
value($node, undef, 'ALTER VIEW dp_ledger OWNER TO attacker; ALTER FUNCTION dp_grant OWNER TO attacker', db => 'given');
refused($node, $_, 'SELECT * FROM dp_ledger', '42501', undef, 'a view that was given away reads with its owner\'s '
	  . 'rights: ' . ($_ // 'superuser'), db => 'given') for ('attacker', 'owner', undef);
refused($node, 'attacker', "SELECT dp_grant('m', 'attacker')", '42501', undef,
	'a function that was given away asks for the caller\'s', db => 'given');
$node->stop;
done_testing();
