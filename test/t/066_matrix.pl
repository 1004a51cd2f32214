# Every function, view, table and sequence of the extension, and foreign tables, by every kind of role: nothing more
# than was granted. Each cell is an outcome: ok, or the SQLSTATE. What the extension has is asked of the catalogs, so
# that
# a function or a view without a row here fails the test.
#
# Each role is tried as itself (its login), as a role that inherits from it, as a member without INHERIT, which has
# nothing of it, and as that member after SET ROLE, which has all of it.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('matrix');

# ---------------------------------------------------------------- the cast

my @cast = qw(super admin auditor trainer folkowner modelowner grantee limited sharer reader nobody);
my %position = map { $cast[$_] => $_ } 0 .. $#cast;
my @plain = grep { $_ ne 'super' } @cast;

value($node, undef, "CREATE ROLE $_ LOGIN; CREATE ROLE ${_}_heir LOGIN INHERIT; GRANT $_ TO ${_}_heir; "
	  . "CREATE ROLE ${_}_far LOGIN NOINHERIT; GRANT $_ TO ${_}_far") for @plain;
value($node, undef, <<'EOC');
GRANT mirage_admin TO admin;
GRANT mirage_auditor TO auditor;
GRANT mirage_trainer TO trainer, modelowner;
GRANT CREATE ON SCHEMA public TO folkowner;
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
GRANT USAGE ON FOREIGN SERVER models TO grantee, limited;
GRANT CREATE ON SCHEMA public TO grantee, limited;
EOC
people($node, 'folk', 400, owner => 'folkowner');
value($node, 'folkowner', <<'EOC');
SET client_min_messages = warning;
SELECT dp_protect('folk', epsilon => 1000);
GRANT SELECT ON folk TO trainer, modelowner;
SELECT dp_grant_budget('folk', 'sharer', 500);
CREATE TABLE lands (id int PRIMARY KEY);
CREATE TABLE visits (person int NOT NULL, place int);
EOC
value($node, 'modelowner', <<'EOC');
SET client_min_messages = warning;
SELECT dp_train('m', 'folk', epsilon => 1, delta => 1e-14, method => 'independent');
SELECT dp_grant('m', 'grantee');
SELECT dp_grant('m', 'limited', max_rows => 1000000, per => '1 day', purposes => '{study}', columns =>
  '{age,sex,member}',
                conditions => '{"sex": "Female"}');
EOC
value($node, 'folkowner', "SET client_min_messages = warning; SELECT dp_alter_budget('folk', require_approval => "
	  . "true)");
value($node, 'modelowner', "SET client_min_messages = warning; "
	  . "SELECT dp_train('p', 'folk', epsilon => 1, delta => 1e-14, method => 'independent')");
value($node, undef, "SELECT dp_alter_budget('folk', require_approval => false)");

# Foreign tables: of the grantee, with SELECT for reader, who has no grant of the model; views over it that use their
# owner's right, and their reader's.
value($node, 'grantee', <<'EOC');
CREATE FOREIGN TABLE ft (age int, sex text, city text, member boolean) SERVER models OPTIONS (model 'm', rows '20',
  seed '1');
CREATE VIEW ft_view AS SELECT * FROM ft;
GRANT SELECT ON ft, ft_view TO reader, auditor;
EOC
value($node, 'grantee', "CREATE VIEW ft_invoker WITH (security_invoker = true) AS SELECT * FROM ft; GRANT SELECT ON "
	  . "ft_invoker TO reader")
  if $node->pg_version >= 15;
value($node, 'limited', "CREATE FOREIGN TABLE ft_limited (age int, sex text, member boolean) SERVER models OPTIONS "
	  . "(model 'm', rows '20', seed '1', purpose 'study')");
value($node, 'grantee', "SELECT count(age) FROM dp_synthesize('m', 3) AS t(age int)");
my $issuance = value($node, undef, 'SELECT max(id) FROM dp_issuances');
my $job = value($node, undef, "SELECT id FROM dp_jobs WHERE model = 'm'");
my $receipt = value($node, undef, "SELECT dp_receipt($issuance)");
my $budget = value($node, undef, "SELECT id FROM mirage.budget WHERE name = 'folk'");

# What a script comes to: ok or an SQLSTATE. All that it did is undone, but what is recorded for good.
value($node, undef, <<'EOC');
CREATE FUNCTION outcome(script text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE script;
  RAISE EXCEPTION SQLSTATE 'MX000';
EXCEPTION WHEN OTHERS THEN
  RETURN CASE SQLSTATE WHEN 'MX000' THEN 'ok' ELSE SQLSTATE END;
END $$;
EOC

# The outcomes of scripts, in one session of `login`, after SET ROLE where a role is named.
sub outcomes
{
	my ($login, $role, @scripts) = @_;
	my $sql = "SET client_min_messages = error;\n" . ($role ? "SET ROLE $role;\n" : '')
	  . join('', map { "SELECT outcome(\$script\$$_\$script\$);\n" } @scripts);
	my @out = split(/\n/, value($node, $login, $sql));

	die "of " . @scripts . " scripts " . @out . " have an outcome" unless @out == @scripts;
	return @out;
}

# Ways to be one of the cast: login, SET ROLE, and whose cells hold.
my @ways = ([ undef, undef, 'super', 'super' ]);
for my $r (@plain)
{
	push @ways, [ $r, undef, $r, $r ];
	next if $r eq 'nobody';
	push @ways, [ "${r}_heir", undef, $r, "heir of $r" ], [ "${r}_far", undef, 'nobody',
		"member of $r without INHERIT" ],
	  [ "${r}_far", $r, $r, "$r by SET ROLE" ];
}

# ---------------------------------------------------------------- functions

# Cells: '+' ok, '-' 42501, 'e' (or 'f') the error (or the other) that the row names, in the order of the cast:
#   super admin auditor trainer folkowner modelowner grantee limited sharer reader nobody
# TAG is another word in each call.
my @matrix = (
	# budgets and protection
	[ dp_create_budget => "SELECT dp_create_budget('b TAG', 1)",                            '+++++++++++' ],
	[ dp_alter_budget => "SELECT dp_alter_budget('folk', epsilon => 2000)",                 '++--+------' ],
	[ dp_grant_budget => "SELECT dp_grant_budget('folk', 'nobody', 1)",                     '++--+------' ],
	[ dp_protect => "SELECT dp_protect('folk', budget => 'folk')",                          '++--+------' ],
	[ dp_protect => "SELECT dp_protect('visits', budget => 'folk', unit => 'person')",      'ee--e------', '55000' ],
	[ dp_protect => "SELECT dp_protect('folk', budget => 'folk', assert_stable => true)",   '++---------' ],
	[ dp_declare_public => "SELECT dp_declare_public('lands')",                             '++--+------' ],
	[ dp_set_column => "SELECT dp_set_column('folk', 'age', kind => 'number')",             '++--+------' ],
	[ dp_describe => "SELECT dp_describe('folk')",                                          '++++++--+--' ],
	[ dp_describe => "SELECT dp_describe('mirage.wrapped_key')",                            'eee--------', '0A000' ],
	# training
	[ dp_plan => "SELECT dp_plan('folk', 'independent')",                                   '+--+++--+--' ],
	[ dp_train => "SELECT dp_train('t_TAG', 'folk', 'independent', 0.01, 1e-14)",           '+--+++--+--' ],
	[ dp_train => "SELECT dp_train('s_TAG', 'pg_catalog.pg_authid', 'independent', 0.01)",  'eeeeeeeeeee', '0A000' ],
	[ dp_wait => "SELECT dp_wait($job, '1 s')",                                             '++--++-----' ],
	[ dp_cancel => "SELECT dp_cancel($job)",                                                '++--++-----' ],
	[ dp_drop_model => "SELECT dp_drop_model('m')",                                         '++---+-----' ],
	[ dp_compose => "SELECT dp_compose('[{\"mechanism\": \"zcdp\", \"rho\": 0.1}]', 1e-9)", '+++++++++++' ],
	# rows
	[ dp_synthesize => "SELECT dp_synthesize('m', 2)",                                      '+----++----' ],
	[ dp_synthesize => "SELECT count(age) FROM dp_synthesize('m', 2, purpose => 'study') AS t(age int)",
		'+----+++---' ],
	[ dp_synthesize => "SELECT count(city) FROM dp_synthesize('m', 2, purpose => 'study') AS t(city text)",
		'+----++e---', '42703' ],
	[ dp_synthesize => "SELECT dp_synthesize('m', 2, '{\"sex\": \"Male\"}', purpose => 'study')", '+----++e---',
		'22023' ],
	[ dp_synthesize => "SELECT dp_synthesize('m', 2, purpose => 'sale')",                   '+----++----' ],
	[ dp_synthesize => "SELECT dp_synthesize('p', 2)",                                      'e----e-----', '55000' ],
	[ dp_synthesize => "SET LOCAL pg_mirage.recipient = 'somebody'; SELECT dp_synthesize('m', 2, purpose => "
		  . "'study')", '-----------' ],
	[ dp_synthesize_as => "SELECT count(t.age) FROM dp_synthesize_as(NULL::folk, 'm', 2, purpose => 'study') t",
		'+----+++---' ],
	[ dp_materialize => "SELECT dp_materialize('m', 'pg_temp.made', 2, purpose => 'study')", '+----+++---' ],
	[ dp_materialize => "SELECT dp_materialize('m', 'public.lands', 2, purpose => 'study')", '+----------' ],
	[ dp_materialize => "SELECT dp_materialize('m', 'mirage.model', 2, purpose => 'study')", 'e----eee---', '42809' ],
	[ dp_grant => "SELECT dp_grant('m', 'nobody')",                                         '++---+-----' ],
	[ dp_grant => "SELECT dp_grant('m', 'limited')",                                        '++---+-----' ],
	[ dp_revoke => "SELECT dp_revoke('m', 'grantee')",                                      '++---+-----' ],
	[ dp_allow_claims => "SELECT dp_allow_claims('nobody')",                                '++---------' ],
	[ dp_adopt_recipient => "SELECT dp_adopt_recipient('nobody', gen_random_uuid())",       'ee---------', '42704' ],
	# decisions
	[ dp_approve => "SELECT dp_approve('p', 'fine')",                                       '++---------' ],
	[ dp_reject => "SELECT dp_reject('p', 'no')",                                           '++---------' ],
	[ dp_withdraw => "SELECT dp_withdraw('m', 'enough')",                                   '++---+-----' ],
	# marks
	[ dp_set_model => "SELECT dp_set_model('m', watermark => false)",                       '++---------' ],
	[ dp_trace => "SELECT dp_trace('SELECT 30 AS age, ''Female''::text AS sex')",           '+++--------' ],
	[ dp_trace => "SELECT dp_trace('SELECT age, sex FROM folk')",                           '+----------' ],
	# receipts
	[ dp_receipt => "SELECT dp_receipt($issuance)",                                         '+++--++----' ],
	[ dp_receipt => "SELECT dp_receipt(999999)",                                            '-----------' ],
	[ dp_verify_receipt => "SELECT dp_verify_receipt('$receipt')",                          '+++++++++++' ],
	[ dp_public_key => "SELECT dp_public_key()",                                            '+++++++++++' ],
	[ dp_hash_rows => "SELECT dp_hash_rows('SELECT 1')",                                    '+++++++++++' ],
	[ dp_hash_rows => "SELECT dp_hash_rows('TABLE folk')",                                  '+--+++-----' ],
	[ dp_hash_rows => "SELECT dp_hash_rows('TABLE mirage.issuance')",                       '+----------' ],
	# trust
	[ dp_audit_head => "SELECT dp_audit_head()",                                            '+++--------' ],
	[ dp_verify_audit => "SELECT dp_verify_audit()",                                        '+++--------' ],
	[ dp_rotate_key => "SELECT dp_rotate_key()",                                            '++---------' ],
	[ dp_acknowledge_alert => "SELECT dp_acknowledge_alert(1, 'seen')",                     'eee--------', '42704' ],
	[ dp_acknowledge_rewind => "SELECT dp_acknowledge_rewind('seen')",                      'ee---------', '55000' ],
	# what stands behind views: they tell about the caller's own rights alone
	[ 'mirage.is_me' => "SELECT mirage.is_me(10, 'x', '')",                                 '+++++++++++' ],
	[ 'mirage.is_role' => "SELECT mirage.is_role(10, 'x', '')",                             '+++++++++++' ],
	[ 'mirage.owns' => "SELECT mirage.owns('folk'::regclass, '')",                          '+++++++++++' ],
	[ 'mirage.oversees' => "SELECT mirage.oversees()",                                      '+++++++++++' ],
	[ 'mirage.may_release' => "SELECT mirage.may_release('m')",                             '+++++++++++' ],
	[ 'mirage.budget_figures' => "SELECT mirage.budget_figures($budget)",                   '+++++++++++' ],
	[ 'mirage.job_progress' => "SELECT mirage.job_progress($job, 1)",                       '+++++++++++' ],
	# what only the server calls
	[ 'mirage.synthesize_support' => "SELECT mirage.synthesize_support(NULL)",              'eeeeeeeeeee', '42883' ],
	[ 'mirage.refuse_change' => "SELECT mirage.refuse_change()",                            'eeeeeeeeeee', '0A000' ],
	[ 'mirage.refuse_strangers' => "SELECT mirage.refuse_strangers()",                      'eeeeeeeeeee', '39P01' ],
	[ 'mirage.follow_names' => "SELECT mirage.follow_names()",                              'eeeeeeeeeee', '39P03' ],
	[ 'mirage.forget_dropped' => "SELECT mirage.forget_dropped()",                          'eeeeeeeeeee', '39P03' ],
	[ 'mirage.fdw_handler' => "SELECT mirage.fdw_handler()",                                '+----------' ],
	[ 'mirage.fdw_validator' => "SELECT mirage.fdw_validator('{nonsense=1}', 0)",           'e----------', 'HV00D' ],
	# foreign tables: SELECT on the table and the model's rows, both of the user whose rights count
	[ '' => 'SELECT * FROM ft',                                                             '+-----+----' ],
	[ '' => 'SELECT count(*) FROM ft',                                                      '+-----+----' ],
	[ '' => 'SELECT * FROM ft_view',                                                        '+-+---+--+-' ],
	[ '' => 'SELECT * FROM ft_invoker',                                                     '+-----+----' ],
	[ '' => 'SELECT * FROM ft_limited',                                                     '+------+---' ],
	[ '' => 'EXPLAIN SELECT * FROM ft WHERE age = 30',                                      '+-+---+--+-' ],
	[ '' => 'CREATE TABLE pg_temp.copied AS TABLE ft',                                      '+-----+----' ],
	[ '' => "INSERT INTO ft VALUES (1, 'Male', 'Graz', true)",                              'e-----e----', '0A000' ],
	[ '' => 'SELECT * FROM ft FOR UPDATE',                                                  '+-----+----' ],
	[ '' => 'ANALYZE ft',                                                                   '+++++++++++' ],
	[ '' => "CREATE FOREIGN TABLE pg_temp.mine (age int) SERVER models OPTIONS (model 'm')", '+-----++---' ],
	[ '' => "CREATE SERVER mine FOREIGN DATA WRAPPER pg_mirage_fdw",                        '+----------' ],
	[ '' => "ALTER FOREIGN TABLE ft OPTIONS (SET rows '1000000')",                          '+-----+----' ],
	# the extension, its schema and its objects belong to who made it
	[ '' => 'CREATE TABLE mirage.mine (a int)',                                             '+----------' ],
	[ '' => 'DROP EXTENSION pg_mirage CASCADE',                                             '+----------' ],
	[ '' => 'ALTER EXTENSION pg_mirage DROP TABLE mirage.log',                              '+----------' ],
	[ '' => 'ALTER TABLE mirage.ledger DISABLE TRIGGER refuse_change',                      '+----------' ],
	[ '' => 'ALTER TABLE mirage.model_grant OWNER TO CURRENT_USER',                         '+----------' ],
	[ '' => 'CREATE OR REPLACE VIEW dp_ledger AS SELECT 1 AS id',                           'e----------', '42P16' ],
	[ '' => 'CREATE OR REPLACE FUNCTION mirage.oversees() RETURNS boolean LANGUAGE sql AS \'SELECT true\'',
		'+----------' ],
	[ '' => 'CREATE RULE r AS ON INSERT TO mirage.log DO INSTEAD NOTHING',                  '+----------' ],
	[ '' => 'CREATE POLICY p ON mirage.model USING (true)',                                 '+----------' ],
	[ '' => 'CREATE TRIGGER t BEFORE INSERT ON mirage.issuance FOR EACH ROW EXECUTE FUNCTION mirage.refuse_change()',
		'+----------' ],
	[ '' => 'DROP EVENT TRIGGER pg_mirage_follow_names',                                    'e----------', '2BP01' ],
	[ '' => 'COMMENT ON FUNCTION dp_compose(jsonb, float8) IS \'mine\'',                    '+----------' ],
	[ '' => 'LOCK TABLE mirage.ledger IN ACCESS SHARE MODE',                                '+----------' ],
	[ '' => 'SELECT pg_catalog.pg_relation_filepath(\'mirage.wrapped_key\')',               '+++++++++++' ],
	[ '' => 'GRANT SELECT ON mirage.log TO PUBLIC',                                         '+----------' ],
	[ '' => 'ALTER ROLE mirage_admin RENAME TO nothing',                                    '+----------' ],
	[ '' => 'GRANT mirage_admin TO CURRENT_USER',                                           '+----------' ],
	# settings
	[ '' => "SET pg_mirage.max_failures = 0",                                               'eeeeeeeeeee', '55P02' ],
	[ '' => "SET pg_mirage.max_epsilon = 0",                                                'eeeeeeeeeee', '55P02' ],
	[ '' => "SET pg_mirage.master_key_command = 'true'",                                    'eeeeeeeeeee', '55P02' ],
	[ '' => "SET pg_mirage.alerts = off",                                                   '+----------' ],
	[ '' => "SET pg_mirage.allow_unsafe_fsync = on",                                        '+----------' ],
	[ '' => "SET pg_mirage.unheard_of = 1",                                                 'eeeeeeeeeee', '42602' ],
	[ '' => "SELECT current_setting('pg_mirage.master_key_file')",                          '+----------' ],
);
@matrix = grep { $_->[1] !~ /ft_invoker|unheard_of/ } @matrix if $node->pg_version < 15;

my $functions = "SELECT DISTINCT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || proname FROM "
	  . "pg_depend d JOIN pg_extension e "
  . "ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid JOIN pg_proc p ON d.classid = "
	  . "'pg_proc'::regclass AND d.objid = p.oid "
  . "JOIN pg_namespace n ON n.oid = pronamespace WHERE extname = 'pg_mirage' AND deptype = 'e' ORDER BY 1";
my %rows_of = map { $_->[0] => 1 } grep { $_->[0] ne '' } @matrix;
is(join(' ', sort keys %rows_of), join(' ', sort(split(/\n/, value($node, undef, $functions)))),
	'every function of the extension has a row in the matrix, and every row a function');

for my $row (@matrix)
{
	die "row without a cell for each role: $row->[1]" if length($row->[2]) != @cast;
}

# ---------------------------------------------------------------- views: what each role sees

# Names or roles that a view shows, per role, while nothing but the above has happened.
my %sight = (
	dp_budgets => [ 'name', {
		(map { $_ => 'folk' } qw(super admin auditor trainer folkowner modelowner sharer)) } ],
	dp_ledger => [ 'model', { (map { $_ => 'm p' } qw(super admin auditor folkowner modelowner)) } ],
	dp_models => [ 'name', { (map { $_ => 'm p' } qw(super admin auditor folkowner modelowner)),
		(map { $_ => 'm' } qw(grantee limited)) } ],
	dp_jobs => [ 'model', { (map { $_ => 'm p' } qw(super admin auditor folkowner modelowner)) } ],
	dp_grants => [ 'grantee', { (map { $_ => 'grantee limited' } qw(super admin auditor modelowner)),
		grantee => 'grantee', limited => 'limited' } ],
	dp_issuances => [ 'recipient', { (map { $_ => 'grantee' } qw(super admin auditor modelowner grantee)) } ],
	dp_alerts => [ 'kind', {} ],
	dp_keys => [ 'in_force', { (map { $_ => 'true' } qw(super admin auditor)),
		(map { $_ => '42501' } qw(trainer folkowner
		modelowner grantee limited sharer reader nobody)) } ],
	dp_audit_log => [ 'role', { (map { $_ => 'folkowner grantee modelowner postgres' } qw(super admin auditor)),
		folkowner => 'folkowner', modelowner => 'modelowner', grantee => 'grantee' } ],
	'mirage.grant_use' => [ 'grantee_name', { super => 'grantee limited',
		(map { $_ => '42501' } grep { $_ ne 'super' } @cast) } ],
);
my $relations = "SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || relname FROM pg_depend d "
	  . "JOIN pg_extension e "
  . "ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid JOIN pg_class c ON d.classid = "
	  . "'pg_class'::regclass AND d.objid = c.oid "
  . "JOIN pg_namespace n ON n.oid = relnamespace WHERE extname = 'pg_mirage' AND deptype = 'e' AND relkind = ANY "
	  . "('KINDS') ORDER BY 1";
sub relations { (my $sql = $relations) =~ s/KINDS/$_[0]/; return split(/\n/, value($node, undef, $sql)); }

is(join(' ', sort keys %sight), join(' ', sort(relations('{v,m,f}'))), 'every view of the extension is looked at');
# one query that tells a refusal from an empty view
value($node, undef, <<'EOC');
CREATE FUNCTION sight(of text, col text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  seen text;
BEGIN
  EXECUTE format('SELECT string_agg(DISTINCT %I::text, '' '' ORDER BY %I::text) FROM %s', col, col, of) INTO seen;
  RETURN coalesce(seen, '');
EXCEPTION WHEN insufficient_privilege THEN
  RETURN SQLSTATE;
END $$;
EOC
for my $way (@ways)
{
	my ($login, $role, $as, $what) = @$way;
	my @views = sort keys %sight;
	my $sql = ($role ? "SET ROLE $role;\n" : '') . join('', map { "SELECT '<' || sight('$_', '$sight{$_}[0]') || "
		  . "'>';\n" } @views);
	my @seen = split(/\n/, value($node, $login, $sql));

	is(join("\n", map { "$views[$_] $seen[$_]" } 0 .. $#views),
		join("\n", map { "$_ <" . ($sight{$_}[1]{$as} // '') . '>' } @views), "$what: what the views show");
}

# ---------------------------------------------------------------- tables and sequences

my @tables = relations('{r,p}');
my @sequences = relations('{S}');
cmp_ok(scalar(@tables), '>=', 25, 'there are tables');
cmp_ok(scalar(@sequences), '>=', 12, 'and sequences');
my @attempts = ((map { ("SELECT FROM $_", "SELECT ctid FROM $_", "INSERT INTO $_ DEFAULT VALUES", "DELETE FROM $_",
	"TRUNCATE $_",
				"CREATE TABLE pg_temp.copy AS TABLE $_") } @tables),
	(map { ("SELECT last_value FROM $_", "SELECT nextval('$_')", "SELECT setval('$_', 1)",
		"SELECT currval('$_')") } @sequences));
for my $way (@ways)
{
	my ($login, $role, $as, $what) = @$way;

	next if $as eq 'super';
	my @got = outcomes($login, $role, @attempts);
	my @open = grep { $got[$_] ne '42501' } 0 .. $#attempts;

	is(join("\n", map { "$attempts[$_]: $got[$_]" } @open), '', "$what: " . @attempts
		. ' attempts on tables and sequences');
}
is(value($node, undef, "SELECT string_agg(format('%s %s', r.rolname, c.relname), ', ') FROM pg_roles r, pg_class c "
	  . "WHERE c.relnamespace = "
	  . "'mirage'::regnamespace AND NOT r.rolsuper AND r.rolname !~ '^pg_' AND CASE c.relkind WHEN 'S' THEN "
	  . "has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE') WHEN 'r' THEN has_table_privilege(r.oid, c.oid, "
	  . "'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') OR has_any_column_privilege(r.oid, c.oid, "
		  . "'SELECT, INSERT, UPDATE, "
	  . "REFERENCES') ELSE false END"), '', 'nor do the catalogs say anything else');
is(value($node, undef, "SELECT count(*) FROM pg_roles r WHERE NOT rolsuper AND has_schema_privilege(r.oid, 'mirage', "
	  . "'CREATE')"), '0',
	'nobody makes things in the schema');

# A right to write all tables is none to write the extension's, nor one to have rows. (Reading all is what pg_dump
# takes.)
value($node, undef, 'CREATE ROLE writer LOGIN; GRANT pg_write_all_data, pg_read_all_data TO writer');
my @writes = map { my $t = $_; my $c = value($node, undef, "SELECT attname FROM pg_attribute WHERE attrelid = "
	  . "'$t'::regclass AND attnum = 1");
	("INSERT INTO $t DEFAULT VALUES", "UPDATE $t SET $c = $c", "DELETE FROM $t", "TRUNCATE $t") } @tables;
my @written = outcomes('writer', undef, @writes);
is(join("\n", map { "$writes[$_]: $written[$_]" } grep { $written[$_] ne '42501' } 0 .. $#writes), '',
	'a role that may write all tables writes none of these');
refused($node, 'writer', "INSERT INTO mirage.model_grant (model, grantee_oid, grantee_name, identity, granted_by) "
	  . "SELECT 1, oid, rolname, '', '' FROM pg_roles WHERE rolname = "
	  . "'writer'", '42501', qr/written by pg_mirage alone/, 'so it makes itself no grant');
refused($node, 'writer', "SET session_replication_role = replica", '42501', undef, 'nor turns that off');

# ---------------------------------------------------------------- the functions, by all

my $serial = 0;
for my $way (@ways)
{
	my ($login, $role, $as, $what) = @$way;
	my @want = map {
		my $cell = substr($_->[2], $position{$as}, 1);
		$cell eq '+' ? 'ok' : $cell eq '-' ? '42501' : $_->[ $cell eq 'e' ? 3 : 4 ]
		  // die "no error in the row of $_->[1]";
	} @matrix;
	my @scripts = map { $serial++; (my $s = $_->[1]) =~ s/TAG/$serial/g; $s } @matrix;
	my @got = outcomes($login, $role, @scripts);

	my @other = grep { $got[$_] ne $want[$_] } 0 .. $#matrix;

	is(join("\n", map { "$got[$_], not $want[$_]: $matrix[$_][1]" } @other), '', "$what: " . @matrix . ' calls');
}

# What a REVOKE hides is refused by the code as well: a careless GRANT gives nobody anything.
my @hidden = split(/\n/, value($node, undef, "SELECT oid::regprocedure FROM pg_proc WHERE oid IN (SELECT objid FROM "
	  . "pg_depend WHERE classid = "
	  . "'pg_proc'::regclass AND refclassid = 'pg_extension'::regclass AND deptype = 'e') AND NOT "
		  . "has_function_privilege('nobody', oid, 'EXECUTE') "
	  . "AND prorettype <> 'fdw_handler'::regtype AND proname <> 'fdw_validator'"));
cmp_ok(scalar(@hidden), '>=', 7, 'functions that not everybody may call');
value($node, undef, "GRANT EXECUTE ON FUNCTION $_ TO PUBLIC") for @hidden;
for my $function (@hidden)
{
	my ($name) = $function =~ /^(\w+)\(/;
	my @scripts = map { $_->[1] } grep { $_->[0] eq $name } @matrix;

	is(join(' ', outcomes('nobody', undef, @scripts)), join(' ', ('42501') x @scripts), "$name, called by anybody");
	value($node, undef, "REVOKE EXECUTE ON FUNCTION $function FROM PUBLIC");
}

# And a REVOKE from PUBLIC by who runs the site holds for rows that stream.
value($node, undef, 'REVOKE EXECUTE ON FUNCTION dp_synthesize(text, bigint, jsonb, bigint, text, boolean) FROM PUBLIC');
is(join(' ', outcomes('grantee', undef, "SELECT dp_synthesize('m', 1)",
	"SELECT * FROM dp_synthesize('m', 1) AS t(age int)",
			"SELECT count(*) FROM dp_synthesize('m', 1) AS t(age int)")), '42501 42501 42501', 'no EXECUTE, no rows');
value($node, undef, 'GRANT EXECUTE ON FUNCTION dp_synthesize(text, bigint, jsonb, bigint, text, boolean) TO PUBLIC');

# ---------------------------------------------------------------- afterwards

# Who was given rows, and whose right it was.
is(value($node, undef, "SELECT string_agg(DISTINCT recipient || '/' || role || '/' || coalesce(grantee, '-'), ' ' "
	  . "ORDER BY recipient || '/' || role || '/' "
	  . "|| coalesce(grantee, '-')) FROM dp_issuances WHERE NOT claimed"),
	join(' ', sort(
		'postgres/postgres/-', 'postgres/grantee/grantee',
		'modelowner/modelowner/-', 'modelowner_heir/modelowner_heir/-', 'modelowner_far/modelowner/-',
		'grantee/grantee/grantee', 'grantee_heir/grantee_heir/grantee', 'grantee_far/grantee/grantee',
			'grantee_heir/grantee/grantee',
		'limited/limited/limited', 'limited_heir/limited_heir/limited', 'limited_far/limited/limited',
		'reader/grantee/grantee', 'reader_heir/grantee/grantee', 'reader_far/grantee/grantee',
		'auditor/grantee/grantee', 'auditor_heir/grantee/grantee', 'auditor_far/grantee/grantee')),
	'rows went to those who had the right, under their own names');
is(value($node, undef, "SELECT count(*) FROM dp_issuances WHERE claimed"), '0', 'and to no claim');
is(value($node, undef, "SELECT count(*) FROM mirage.issuance i WHERE NOT EXISTS (SELECT FROM mirage.receipt r WHERE "
	  . "r.issuance = i.id)"), '0',
	'each with a receipt');
is(value($node, undef, "SELECT string_agg(DISTINCT array_to_string(columns, ','), ' ') FROM mirage.issuance WHERE "
	  . "grantee_name = 'limited' AND columns && '{city,id}'"),
	'', 'none with a column that was not granted');
audit_ok($node, 'the log is whole');
$node->stop;
done_testing();
