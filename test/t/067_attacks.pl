# Attacks by people who may use the database: objects that look like the server's or ours, wrappers, views, default
# privileges, settings, names, documents and numbers made to break things, statements handed to dp_trace, tables with
# traps, forged receipts, old snapshots. What must not happen: rows without a record, a right more than granted,
# another's
# identity, a value of the data in a message, code of one role run with the rights of another.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('attacks', conf => "autovacuum_naptime = 1s\n");
my $quiet = 'SET client_min_messages = error;';

# ---------------------------------------------------------------- the cast

value($node, undef, "CREATE ROLE $_ LOGIN") for qw(attacker owner grantee limited sharer nobody auditor admin);
value($node, undef, <<'EOC');
GRANT CREATE ON SCHEMA public TO owner, attacker, grantee, limited;
GRANT mirage_auditor TO auditor;
GRANT mirage_admin TO admin;
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
GRANT USAGE ON FOREIGN SERVER models TO grantee, limited;
EOC
people($node, 'folk', 400, owner => 'owner');
value($node, 'owner', <<"EOC");
$quiet
SELECT dp_protect('folk', epsilon => 1000);
SELECT dp_train('m', 'folk', epsilon => 1, delta => 1e-14, method => 'independent');
SELECT dp_train('hidden', 'folk', epsilon => 1, delta => 1e-14, method => 'independent');
SELECT dp_grant('m', 'grantee');
SELECT dp_grant('m', 'limited', max_rows => 100, columns => '{age,sex}');
EOC

sub issuances { return value($node, undef, 'SELECT count(*) FROM mirage.issuance' . (@_ ? " WHERE $_[0]" : '')); }

# ---------------------------------------------------------------- whatever stands first in the search_path

# A schema that holds, for every function, operator and type of pg_catalog, one with the same name and arguments that
# tells
# who ran it; tables called like those of the catalogs and ours, and the same in the temporary schema.
value($node, undef, 'CREATE SCHEMA evil AUTHORIZATION attacker; GRANT USAGE ON SCHEMA evil TO PUBLIC');
value($node, 'attacker', <<'EOC');
CREATE FUNCTION evil.trap(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE LOG 'hijacked: % as %', what, current_user;
  RAISE EXCEPTION 'hijacked: % as %', what, current_user;
END $$;
DO $$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT p.oid, proname, prorettype, proretset, provolatile,
             (SELECT coalesce(string_agg(format('pg_catalog.%I', typname), ', ' ORDER BY ordinality), '')
               FROM unnest(proargtypes) WITH ORDINALITY
              JOIN pg_type t ON t.oid = unnest) AS args, (SELECT format('pg_catalog.%I', typname) FROM pg_type t
                WHERE t.oid = prorettype) AS result
           FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND provariadic = 0
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s%s LANGUAGE plpgsql %s AS %L', f.proname, f.args,
        CASE WHEN f.proretset THEN 'SETOF ' ELSE '' END, f.result,
          CASE f.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
        format('BEGIN PERFORM evil.trap(%L); END', f.proname));
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR f IN SELECT o.oid, oprname, lt.typname AS l, rt.typname AS r, proname FROM pg_operator o
    JOIN pg_proc p ON p.oid = oprcode
             LEFT JOIN pg_type lt ON lt.oid = oprleft JOIN pg_type rt ON rt.oid = oprright
               WHERE oprnamespace = 'pg_catalog'::regnamespace
  LOOP
    BEGIN
      EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.%I, %s RIGHTARG = pg_catalog.%I)', f.oprname, f.proname,
        CASE WHEN f.l IS NULL THEN '' ELSE format('LEFTARG = pg_catalog.%I,', f.l) END, f.r);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $$;
DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r')
    AND typelem = 0
  LOOP
    BEGIN
      EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.%I CHECK (evil.trap(%L))', t.typname, t.typname, 'type ' ||
        t.typname);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  FOR t IN SELECT relname FROM pg_class WHERE relnamespace IN ('mirage'::regnamespace, 'pg_catalog'::regnamespace)
    AND relkind IN ('r', 'v')
  LOOP
    EXECUTE format('CREATE TABLE evil.%I (id pg_catalog.int8, name pg_catalog.text, model pg_catalog.int8)', t.relname);
    EXECUTE format('GRANT SELECT ON evil.%I TO PUBLIC', t.relname);
  END LOOP;
  FOR t IN SELECT proname, oid FROM pg_proc WHERE pronamespace = 'mirage'::regnamespace
    AND prorettype = 'boolean'::regtype
  LOOP
    EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS boolean LANGUAGE sql AS %L', t.proname,
      pg_get_function_identity_arguments(t.oid), 'SELECT true');
  END LOOP;
END $$;
EOC
cmp_ok(value($node, undef, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace"), '>', 2000,
	'functions stand in the way');
cmp_ok(value($node, undef, "SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace"), '>', 600,
	'and operators');
cmp_ok(value($node, undef, "SELECT count(*) FROM pg_type WHERE typnamespace = 'evil'::regnamespace AND typtype = "
	  . "'d'"), '>', 50, 'and types');
my $lures = value($node, undef, "SELECT string_agg(format('CREATE TEMP TABLE %I (id int8, name text, model int8);', "
	  . "relname), '') FROM pg_class WHERE relnamespace "
	  . "IN ('mirage'::regnamespace, 'pg_catalog'::regnamespace) AND relkind IN ('r', 'v')");
my $path = "$quiet $lures SET search_path = evil, pg_temp, pg_catalog, public, mirage;";

sub trapped { return scalar(() = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /LOG:  hijacked/g); }
refused($node, 'owner', "$path SELECT 1 = 1", 'P0001', qr/hijacked: int4eq as owner/,
	'who names an operator itself falls into the trap');
is(trapped(), 1, 'which leaves a trace in the log');

my $serial = 0;
my ($a_job, $an_issuance) = map { value($node, undef, $_) } ('SELECT min(id) FROM dp_jobs',
	"SELECT dp_synthesize('m', 1); SELECT max(id) FROM dp_issuances");
$an_issuance =~ s/.*\n//s;
my @calls = (
	"SELECT public.dp_create_budget('path_TAG', 10)", "SELECT public.dp_alter_budget('path_TAG', epsilon => 20)",
	"SELECT public.dp_grant_budget('folk', 'sharer', 1)", "SELECT public.dp_protect('public.folk', budget => 'folk')",
	"SELECT public.dp_set_column('public.folk', 'age', kind => 'number', lower => '17', upper => '90')",
	"SELECT public.dp_set_column('public.folk', 'city', depends_on => '{sex}')",
	"SELECT * FROM public.dp_describe('public.folk')", "SELECT * FROM public.dp_plan('public.folk', 'aim')",
	"SELECT public.dp_train('path_TAG', 'public.folk', 'aim', 0.5, 1e-14)",
	"SELECT public.dp_wait($a_job)",
	"SELECT public.dp_synthesize('path_TAG', 3)", "SELECT * FROM public.dp_synthesize('path_TAG', 3, '{\"age\": "
		  . "[20, 30], \"sex\": \"Male\"}', 1) AS t(age pg_catalog.int4, city pg_catalog.text)",
	"SELECT * FROM public.dp_synthesize_as(NULL::public.folk, 'path_TAG', 3)",
	"SELECT public.dp_grant('path_TAG', 'sharer', 10, '1 day', '{x}', 'tomorrow', '{\"sex\": \"Male\"}', '{age,sex}')",
	"SELECT public.dp_revoke('path_TAG', 'sharer')",
	"SELECT public.dp_materialize('path_TAG', 'public.made_TAG', 5)",
		"SELECT public.dp_materialize('path_TAG', 'public.made_TAG', 5)",
	"CREATE FOREIGN TABLE public.ft_TAG (age pg_catalog.int4, sex pg_catalog.text) SERVER models OPTIONS (model "
		  . "'path_TAG', rows '50')",
	"SELECT * FROM public.ft_TAG", "EXPLAIN ANALYZE SELECT age FROM public.ft_TAG LIMIT 3", "ANALYZE public.ft_TAG",
	"SELECT public.dp_withdraw('path_TAG', 'enough')",
	"ALTER TABLE public.folk RENAME TO folk_TAG", "ALTER TABLE public.folk_TAG RENAME TO folk",
	"SELECT * FROM public.dp_budgets", "SELECT * FROM public.dp_ledger", "SELECT * FROM public.dp_models",
		"SELECT * FROM public.dp_jobs",
	"SELECT * FROM public.dp_grants", "SELECT * FROM public.dp_issuances", "SELECT * FROM public.dp_audit_log",
		"SELECT * FROM public.dp_alerts",
	"SELECT public.dp_receipt($an_issuance)", "SELECT public.dp_public_key()",
	"SELECT public.dp_verify_receipt(public.dp_receipt($an_issuance))",
	"SELECT public.dp_hash_rows('SELECT age, sex, member FROM public.folk')",
	"SELECT * FROM public.dp_compose('[{\"mechanism\": \"zcdp\", \"rho\": 0.1}]', 1e-9)",
);
my @above = (
	"SELECT public.dp_set_model('path_TAG', true)", "SELECT * FROM public.dp_trace('SELECT age, sex FROM "
		  . "public.made_TAG', 'path_TAG')",
	"SELECT * FROM public.dp_verify_audit()", "SELECT public.dp_audit_head()", "SELECT * FROM public.dp_keys",
		"SELECT public.dp_allow_claims('nobody')",
	"SELECT public.dp_allow_claims('nobody', false)", "SELECT public.dp_rotate_key()",
);
value($node, undef, 'GRANT USAGE ON FOREIGN SERVER models TO owner');
for my $who ('owner', undef)
{
	my $name = $who // 'superuser';

	for my $call (@calls, defined $who ? () : @above, "SELECT public.dp_drop_model('path_TAG')")
	{
		(my $sql = $call) =~ s/TAG/$name/g;
		quietly($node, $who, "$path $sql", "$name: " . substr($sql, 0, 70));
	}
}
is(trapped(), 1, 'nobody and nothing of ours fell into a trap');

# What an extension that is made while such a schema is in use comes to.
value($node, undef, 'CREATE DATABASE trapped; GRANT CREATE ON DATABASE trapped TO attacker');
value($node, undef, 'GRANT CREATE ON SCHEMA public TO attacker', db => 'trapped');
value($node, 'attacker', <<'EOC', db => 'trapped');
CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'hijacked'; RETURN '';
  END $$;
CREATE FUNCTION public.jsonb_build_object(text, float8, text, float8, text, text, text, timestamptz) RETURNS jsonb
  LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION public.eq(text, name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'hijacked'; RETURN true;
  END $$;
CREATE OPERATOR public.= (FUNCTION = public.eq, LEFTARG = text, RIGHTARG = name);
CREATE OPERATOR public.- (FUNCTION = pg_catalog.timestamptz_mi, LEFTARG = timestamptz, RIGHTARG = timestamptz);
CREATE TABLE public.dp_models (name text);
EOC
refused($node, undef, 'CREATE EXTENSION pg_mirage', '42P07', qr/dp_models/,
	'a view that is there already is not taken over', db => 'trapped');
value($node, 'attacker', 'DROP TABLE public.dp_models', db => 'trapped');
value($node, undef, 'CREATE EXTENSION pg_mirage', db => 'trapped');
is(value($node, undef, "SELECT count(*) FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass "
	  . "AND d.objid = r.oid JOIN pg_depend e ON e.classid "
	  . "= 'pg_class'::regclass AND e.objid = r.ev_class AND e.deptype = 'e' LEFT JOIN pg_proc p ON d.refclassid = "
		  . "'pg_proc'::regclass AND d.refobjid = p.oid "
	  . "LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid WHERE "
	  . "coalesce(p.proowner, o.oprowner) = 'attacker'::regrole", db => 'trapped'), '0',
		'its views call nothing of others');
is(trapped(), 1, 'nor did the script');

# ---------------------------------------------------------------- default privileges

value($node, undef, 'CREATE DATABASE generous');
value($node, undef, <<'EOC', db => 'generous');
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO attacker;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO attacker WITH GRANT OPTION;
CREATE EXTENSION pg_mirage;
EOC
my $open = "SELECT string_agg(c.relname, ' ') FROM pg_class c WHERE relnamespace = 'mirage'::regnamespace AND "
	  . "EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee <> relowner)";
is(value($node, undef, $open, db => 'generous'), '', 'default privileges open none of the tables');
is(value($node, undef, "SELECT string_agg(format('%s %s', relname, a), ' ') FROM pg_class, "
	  . "unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) a WHERE relname LIKE 'dp\\_%' AND "
	  . "has_table_privilege('attacker', oid, a)", db => 'generous'), '', 'and make no view writable');
is(value($node, undef, "SELECT has_schema_privilege('attacker', 'mirage', 'CREATE')", db => 'generous'), 'f',
	'nor the schema');
refused($node, 'attacker', "SELECT $_", '42501', undef, "$_, with EXECUTE by default", db => 'generous')
  for ('dp_audit_head()', 'dp_verify_audit()', 'dp_rotate_key()', "dp_trace('SELECT 1 AS a, 2 AS b')",
	"dp_set_model('x', true)", 'mirage.fdw_handler()');

# ---------------------------------------------------------------- predicates that talk

value($node, 'attacker', <<'EOC');
CREATE FUNCTION tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
  BEGIN RAISE WARNING 'told: %', $1; RETURN true; END $$;
GRANT EXECUTE ON FUNCTION tell(text) TO PUBLIC;
EOC
for my $view (qw(dp_budgets dp_ledger dp_models dp_jobs dp_grants dp_issuances dp_audit_log dp_alerts))
{
	my (undef, undef, $err) = run_as($node, 'nobody', "SELECT * FROM $view v WHERE tell(v::text)");

	unlike($err, qr/told:/, "nothing is told of hidden rows of $view");
}

# ---------------------------------------------------------------- settings

# Before the library is there a session can carry any value; none of them takes the place of what the site says.
$node->append_conf('postgresql.conf', "pg_mirage.max_epsilon = 3000\npg_mirage.max_releases_per_minute = "
	  . "50\npg_mirage.max_rows_per_hour = 100000\n");
$node->reload;
my $ready = "SELECT mirage.oversees();";
await($node, "$ready SHOW pg_mirage.max_epsilon", "t\n3000");
my $too_much = "SELECT dp_create_budget('too much', 5000)";
refused($node, 'nobody', $too_much, '54000', undef, 'the site has a limit');
refused($node, 'nobody', "SET pg_mirage.max_epsilon = 0; $too_much", '54000', undef,
	'which no SET lifts before the library is there');
refused($node, 'nobody', "BEGIN; SET LOCAL pg_mirage.max_epsilon = 0; $too_much", '54000', undef, 'nor a SET LOCAL');
refused($node, 'nobody', "$ready SET pg_mirage.max_epsilon = 0", '55P02', undef, 'nor one afterwards');
for my $setting ('max_epsilon=0', 'MAX_EPSILON=0', 'require_approval=off', 'max_failures=0',
	'max_releases_per_minute=0', 'max_rows_per_hour=0', 'failure_window=1',
	'master_key_file=other.key', 'master_key_command=true', 'high_water_file=', 'alert_rows=0')
{
	local $ENV{PGOPTIONS} = "-c pg_mirage.$setting";
	refused($node, 'nobody', $too_much, '55P02', qr/cannot be set for a session/,
		"nor a connection's option: $setting");
}
{
	local $ENV{PGOPTIONS} = '-c pg_mirage.alerts=on -c pg_mirage.allow_unsafe_fsync=on';
	is(value($node, 'nobody', "$ready SHOW pg_mirage.allow_unsafe_fsync"), "f\noff",
		'what takes a superuser is not taken');
}
value($node, undef, 'ALTER ROLE nobody SET pg_mirage.max_epsilon = 0');
refused($node, 'nobody', $too_much, '55P02', qr/RESET/, 'nor a setting of the role, whoever made it');
value($node, undef, 'ALTER ROLE nobody RESET ALL');
refused($node, 'nobody', $too_much, '54000', undef, 'afterwards it is as before');
value($node, 'nobody', "$ready ALTER ROLE nobody SET pg_mirage.recipient = 'ann'");
value($node, 'owner', "SELECT dp_grant('m', 'nobody')");
refused($node, 'nobody', "SELECT dp_synthesize('m', 1)", '42501', qr/may not say whom/,
	'a role cannot give itself another name');
refused($node, 'nobody', "RESET pg_mirage.recipient; SET pg_mirage.recipient = E'a\\nb'; SELECT dp_synthesize('m', "
	  . "1)", '42602', undef, 'nor one with line breaks');
value($node, undef, 'ALTER ROLE nobody RESET ALL');
quietly($node, 'nobody', "SELECT dp_synthesize('m', 1)", 'under its own it is served');
value($node, 'owner', "SELECT dp_revoke('m', 'nobody')");
is(issuances("recipient = 'ann' OR claimed"), '0', 'and no row was for the other');

# ---------------------------------------------------------------- wrappers

value($node, 'grantee', <<'EOC');
CREATE FUNCTION lend() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
  SELECT count(age) FROM dp_synthesize('m', 3) AS t(age int) $$;
CREATE FOREIGN TABLE ft (age int, sex text, city text) SERVER models OPTIONS (model 'm', rows '20', seed '1');
CREATE VIEW ft_view AS SELECT * FROM ft;
GRANT SELECT ON ft, ft_view TO nobody;
EOC
value($node, 'nobody', 'SELECT lend()');
is(value($node, undef, "SELECT recipient || ' ' || role || ' ' || grantee FROM dp_issuances ORDER BY id DESC LIMIT "
	  . "1"), 'nobody grantee grantee',
	'a lent right is the lender\'s, the rows are for who logged in');
value($node, 'attacker', <<'EOC');
CREATE FUNCTION gain(what text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN EXECUTE what; RETURN 'gained'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
SELECT mirage.oversees();
CREATE FUNCTION with_setting() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET pg_mirage.recipient = 'grantee' AS $$
  BEGIN PERFORM dp_synthesize('m', 1); RETURN 'gained'; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;
EOC
is(value($node, undef, "SELECT gain(\$\$$_\$\$)"), '42501', "a superuser who calls a definer's function lends it "
	  . "nothing: $_")
  for ("SELECT dp_synthesize('m', 1)", "SELECT dp_grant('m', 'attacker')", "SELECT dp_approve('m', 'x')",
	"SELECT dp_allow_claims('attacker')", "SELECT dp_audit_head()",
	"SELECT dp_set_model('m', false)", "SELECT dp_rotate_key()", "SELECT dp_drop_model('m')",
		"SELECT dp_alter_budget('folk', epsilon => 5000)", "SELECT * FROM ft",
	"SELECT dp_train('x', 'folk', 'independent', 0.1, 1e-14)", "SELECT dp_receipt(1)", "SELECT * FROM mirage.ledger");
is(value($node, $_, 'SELECT with_setting()'), '42501', 'a setting of a function makes no claim: '
	. ($_ // 'superuser')) for (undef, 'grantee');

# Views over foreign tables: the view's owner has the right, and loses it.
value($node, 'nobody', 'CREATE TEMP VIEW mine AS SELECT * FROM ft_view; SELECT count(age) FROM mine');
value($node, undef, 'GRANT CREATE ON SCHEMA public TO nobody');
value($node, 'nobody', 'CREATE VIEW ft_theirs AS SELECT * FROM ft; CREATE VIEW ft_nested AS SELECT * FROM ft_view; '
	  . 'GRANT SELECT ON ft_theirs, ft_nested TO PUBLIC');
refused($node, $_, 'SELECT count(age) FROM ft_theirs', '42501', qr/permission denied for model "m"/,
	'a view of somebody without the right shows nothing to ' . ($_ // 'a superuser'))
  for (undef, 'grantee', 'attacker');
is(value($node, 'attacker', 'SELECT count(age) FROM ft_nested'), '20', 'one over a view that has it does');
is(value($node, undef, "SELECT recipient || ' ' || role || ' ' || grantee FROM dp_issuances ORDER BY id DESC LIMIT "
	  . "1"), 'attacker grantee grantee', 'for whoever logged in');

# What a role without the right can learn by asking for plans, and one with a limit beyond it.
value($node, 'limited', "CREATE FOREIGN TABLE ft_limited (age int, sex text, city text) SERVER models OPTIONS "
	  . "(model 'm', rows '1000000')");
value($node, undef, 'GRANT SELECT ON ft_limited TO nobody');

sub planned
{
	my ($who, $sql) = @_;
	my ($rc, $out, $err) = run_as($node, $who, "EXPLAIN $sql");

	return $rc == 0 ? ($out =~ /rows=(\d+)/)[0] : $err;
}

my $records = issuances();
is(planned($_, "SELECT age FROM ft_limited WHERE sex = 'Male'"), planned($_,
	"SELECT age FROM ft_limited WHERE sex = 'Female'"), "estimates tell $_ nothing of the "
		  . "model") for qw(nobody limited);
isnt(planned('owner', "SELECT 1"), undef, 'there are estimates');
value($node, undef, 'GRANT SELECT ON ft_limited TO owner');
isnt(planned('owner', "SELECT age FROM ft_limited WHERE sex = 'Male'"), planned('owner',
	"SELECT age FROM ft_limited WHERE sex = 'Female'"), 'who has no limit is told');
is(issuances(), $records, 'plans are no releases');

# ---------------------------------------------------------------- nobody logged in

# An index's function runs where its table is analyzed, also by the server itself.
value($node, 'grantee', <<'EOC');
CREATE TABLE hoard (n bigint);
CREATE TABLE bait (i int) WITH (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0,
  autovacuum_vacuum_threshold = 1000000);
CREATE FUNCTION bite(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF session_user <> 'grantee' THEN
    RAISE LOG 'bitten: % as %', session_user, current_user;
    INSERT INTO hoard SELECT age FROM dp_synthesize('m', 7) AS t(age int);
  END IF;
  RETURN i;
END $$;
CREATE INDEX ON bait (bite(i));
INSERT INTO bait SELECT generate_series(1, 200);
EOC
my $bitten = 0;
for (1 .. 600)
{
	$bitten = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /LOG:  bitten: postgres as grantee/;
	last if $bitten;
	select(undef, undef, undef, 0.1);
}
ok($bitten, 'the server itself ran the function of an index');
await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'", '0');
is(issuances("requested_rows = 7"), '0', 'and rows were released to nobody by that');
is(value($node, undef, 'SELECT count(*) FROM hoard'), '0', 'nor kept');
value($node, 'grantee', 'DROP TABLE bait');
$node->stop;
done_testing();
