# Marked rows, traced: the right recipient among many, nobody where nobody is, colluders, attacks, a dropped model, a
# dump. A sample of the statistics is run here; MIRAGE_WHOLE=1 runs as many as the targets ask for (docs/watermark.md).
use strict;
use warnings;

use Mirage;
use Test::More;

my $whole = $ENV{MIRAGE_WHOLE};
my $draws = $whole ? 20 : 3;       # of each experiment
my $enough = $whole ? 19 : 3;      # that must succeed
my $others = $whole ? 1000 : 100;  # recipients beside those of interest
my $CERTAIN = 1e-6;
my $largest = 0; # the largest p-value of the model in an experiment

my $node = new_node('watermark', conf => "max_connections = 30\n");

# ---------------------------------------------------------------- a table, a model, recipients

value($node, undef, <<'EOC');
CREATE ROLE auditor LOGIN IN ROLE mirage_auditor;
CREATE ROLE admin LOGIN IN ROLE mirage_admin;
CREATE ROLE owner LOGIN;
GRANT CREATE ON SCHEMA public TO PUBLIC;
EOC
value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
CREATE TABLE visits (
  id int PRIMARY KEY, age int NOT NULL CHECK (age BETWEEN 0 AND 99), sex text NOT NULL CHECK (sex IN ('F', 'M')),
  city text CHECK (city IN ('Graz', 'Linz', 'Wien', 'Bozen', 'Brno', 'Cluj', 'Como', 'Gent')),
  ward text NOT NULL CHECK (ward IN ('A', 'B', 'C', 'D', 'E', 'F')), days int NOT NULL CHECK (days BETWEEN 0 AND 60),
  cost numeric(9,2) NOT NULL CHECK (cost BETWEEN 0 AND 50000), urgent boolean NOT NULL,
  day date NOT NULL CHECK (day BETWEEN '2020-01-01' AND '2024-12-31'),
  outcome text NOT NULL CHECK (outcome IN ('home', 'care', 'other', 'died')),
  weight float8 CHECK (weight BETWEEN 2 AND 200), payer text CHECK (payer IN ('public', 'private', 'self')));
-- several columns hang together: h is a person's frailty
INSERT INTO visits SELECT i, least(99, 20 + h * 7 + abs(hashint4(i * 3)) % 20),
  CASE WHEN hashint4(i * 5) > 0 THEN 'F' ELSE 'M' END,
  (ARRAY['Graz', 'Linz', 'Wien', 'Bozen', 'Brno', 'Cluj', 'Como', 'Gent', NULL])[1 + abs(hashint4(i * 7)) % 9],
  (ARRAY['A', 'B', 'C', 'D', 'E', 'F'])[1 + (h / 2 + abs(hashint4(i * 11)) % 2) % 6],
  least(60, h + abs(hashint4(i * 13)) % (h + 3)), least(50000, h * 900 + abs(hashint4(i * 17)) % 500000 / 100.0),
  h > 6 OR hashint4(i * 19) % 5 = 0, date '2020-01-01' + abs(hashint4(i * 23)) % 1800,
  (ARRAY['home', 'home', 'care', 'other', 'died'])[1 + (h + abs(hashint4(i * 29)) % 3) % 5],
  CASE WHEN i % 9 > 0 THEN 50 + abs(hashint4(i * 31)) % 60 END,
  (ARRAY['public', 'public', 'private', 'self', NULL])[1 + abs(hashint4(i * 37)) % 5]
FROM (SELECT i, abs(hashint4(i * 41)) % 11 AS h FROM generate_series(1, 8000) i) x;
SELECT dp_protect('visits', epsilon => 100);
SELECT dp_set_column('visits', 'id', kind => 'identifier');
SELECT dp_train('v', 'visits', 'mst', epsilon => 10);
EOC

# Recipients: logins with a grant, one of which is a pooler that names others.
value($node, undef, "DO \$\$ BEGIN FOR i IN 1 .. 6 LOOP EXECUTE format('CREATE ROLE r%s LOGIN', i); "
	  . "PERFORM dp_grant('v', format('r%s', i)::regrole); END LOOP; END \$\$; SELECT dp_allow_claims('r6')");

# Rows given to a recipient, as a table of that name; numbers of rows.
sub give
{
	my ($recipient, $table, $rows) = @_;
	my $csv = value($node, $recipient, "COPY (SELECT * FROM dp_synthesize_as(NULL::visits, 'v', $rows)) TO STDOUT");
	my $file = $node->basedir . "/rows_$table";

	open(my $out, '>', $file) or die $!;
	print $out "$csv\n";
	close($out);
	value($node, undef, "DROP TABLE IF EXISTS $table; CREATE TABLE $table (LIKE visits); COPY $table FROM '$file'; "
		  . "GRANT SELECT ON $table TO auditor, admin");
	unlink($file);
}

# (p of the model, recipients that are named for certain) of a query
sub trace
{
	my ($query, %o) = @_;
	my $model = $o{model} // 'v';
	my $mapping = $o{mapping} ? "'$o{mapping}'" : 'NULL';
	my ($p, @named) = (1);

	for (split /\n/, value($node, $o{role} // 'auditor', "SELECT coalesce(recipient, '-'), p_value "
		  . "FROM dp_trace(\$q\$$query\$q\$, '$model', $mapping)"))
	{
		my ($recipient, $value) = split /\|/;

		if ($recipient eq '-') { $p = $value if $value < $p; }
		elsif ($value < $CERTAIN) { push @named, $recipient; }
	}
	$largest = $p if $p > $largest;
	return ($p, join(',', sort @named));
}

# Runs an experiment so often; each run says whether it succeeded.
sub succeeds
{
	my ($name, $run) = @_;
	my $good = 0;

	$largest = 0;
	$good += $run->($_) ? 1 : 0 for 1 .. $draws;
	ok($good >= $enough, "$name: $good of $draws");
	note("largest p-value of the model: $largest");
}

# Many who were given a row each, so that their keys are tried beside.
value($node, 'r6', "DO \$\$ BEGIN FOR i IN 1 .. $others LOOP PERFORM set_config('pg_mirage.recipient', "
	  . "'someone ' || i, false); PERFORM count(*) FROM dp_synthesize('v', 1) AS t(age int); END LOOP; END \$\$",
	timeout => 900);
trace('SELECT 1 AS age, 2 AS days');
is(value($node, 'auditor', "SELECT detail ->> 'keys' FROM dp_audit_log WHERE action = 'trace' ORDER BY id DESC "
	  . "LIMIT 1"), 1 + $others, 'every recipient is tried, and the log says how many keys that were');

# ---------------------------------------------------------------- detection

succeeds("300 rows name the model", sub {
	give('r1', 'leak', 300);
	my ($p) = trace('SELECT * FROM leak');
	return $p < $CERTAIN;
});
succeeds("1,000 rows name the right one of more than $others, and nobody else", sub {
	give("r$_[0]", 'leak', 1000);
	my ($p, $named) = trace('SELECT * FROM leak');
	return $p < $CERTAIN && $named eq "r$_[0]";
});
for my $colluders (2, 4)
{
	succeeds("$colluders colluders who mix 10,000 rows are all named, and nobody else", sub {
		give("r$_", "part$_", 10000 / $colluders) for 1 .. $colluders;
		my ($p, $named) = trace('SELECT * FROM (' . join(' UNION ALL ', map { "SELECT * FROM part$_" } 1 .. $colluders)
			  . ') x ORDER BY hashtext(x::text)');
		return $named eq join(',', map { "r$_" } 1 .. $colluders);
	});
}

# What somebody may do to some thousand rows.
give('r5', 'leak', 10000);
my @columns = qw(age sex city ward days cost urgent day outcome weight payer);
my %attack = (
	'half of the rows are deleted' => sub { 'SELECT * FROM leak ORDER BY random() LIMIT 5000' },
	# Those with few values. What is left when others go has few rare combinations in a table of eleven columns; wider
	# ones, of which any half may go, are measured by test/bench/90_watermark.sh.
	'half of the columns are dropped' => sub { 'SELECT age, city, days, cost, day, outcome FROM leak LIMIT 3000' },
	'a fifth of the cells are replaced by draws of the column' => sub {
		'SELECT ' . join(', ', map { "CASE WHEN random() < 0.2 THEN b.$_ ELSE a.$_ END AS $_" } @columns)
		  . ' FROM (SELECT row_number() OVER () AS n, * FROM leak) a JOIN '
		  . '(SELECT row_number() OVER (ORDER BY random()) AS n, * FROM leak) b USING (n)';
	},
	'half of the rows are foreign' => sub {
		'SELECT * FROM (SELECT * FROM leak LIMIT 1500) x UNION ALL SELECT * FROM (SELECT * FROM visits LIMIT 1500) y';
	},
	'numbers are rounded to two digits' => sub {
		'SELECT sex, city, ward, urgent, day, outcome, payer, '
		  . join(', ', map { "round($_\::numeric, 1 - floor(log(greatest(abs($_\::numeric), 1)))::int) AS $_" }
			  qw(age days cost weight)) . ' FROM leak LIMIT 3000';
	});

value($node, undef, 'GRANT SELECT ON visits TO auditor');
for my $how (sort keys %attack)
{
	succeeds($how, sub {
		my ($p) = trace($attack{$how}->());
		return $p < $CERTAIN;
	});
}

# ---------------------------------------------------------------- nobody is named where nobody is

my ($p, $named) = trace('SELECT * FROM visits');
ok($p > 1e-3 && $named eq '', 'real rows come from no model');
value($node, 'admin', "SELECT dp_set_model('v', watermark => false)");
give('r2', 'plain', 3000);
value($node, 'admin', "SELECT dp_set_model('v', watermark => true)");
($p, $named) = trace('SELECT * FROM plain');
ok($p > 1e-3 && $named eq '', 'rows of the same model without a mark name nobody');
is(value($node, undef, "SELECT count(*) FROM mirage.issuance WHERE recipient = 'r2' AND watermark IS NULL"), 1,
	'and the record says that they are not marked');

# ---------------------------------------------------------------- claims, and roles of the same name

give('r6', 'leak', 1000);
($p, $named) = trace('SELECT * FROM leak');
is($named, 'r6', 'a pooler that claims nothing is itself');
value($node, 'r6', "SET pg_mirage.recipient = 'r1'; CREATE TABLE claimed AS "
	  . "SELECT * FROM dp_synthesize_as(NULL::visits, 'v', 1000); GRANT SELECT ON claimed TO auditor");
($p, $named) = trace('SELECT * FROM claimed');
is($named, 'claim:r1', 'a claim is named as one, and not the role of that name');

# ---------------------------------------------------------------- later

# What happens to roles, keys and the model does not change what their rows say.
give('r3', 'kept', 1000);
value($node, undef, 'DROP OWNED BY r3; DROP ROLE r3');
($p, $named) = trace('SELECT * FROM kept');
is($named, 'r3', 'a role that was dropped is still named');
value($node, 'owner', "SELECT dp_drop_model('v')");
($p, $named) = trace('SELECT * FROM kept');
ok($p < $CERTAIN && $named eq 'r3', 'so it is when its model is dropped');
value($node, 'owner', "SET client_min_messages = warning; SELECT dp_train('v', 'visits', epsilon => 1)");
($p, $named) = trace('SELECT * FROM kept');
ok($p < $CERTAIN && $named eq 'r3', 'and when there is a new model of its name');
is(value($node, 'auditor', "SELECT count(*), count(*) FILTER (WHERE p_value < 1e-6) "
	  . "FROM dp_trace('SELECT * FROM kept', 'v') WHERE recipient IS NULL"), '2|1', 'which is another one');

# A plan that was damaged by force: no mark, no rows, no answer; the plan of another model is no substitute.
for my $damage ("sealed = overlay(sealed PLACING '\\x00'::bytea FROM 500)",
	"sealed = (SELECT sealed FROM saved ORDER BY model LIMIT 1)")
{
	value($node, undef, "SET session_replication_role = replica; CREATE TABLE saved AS TABLE mirage.mark_plan; "
		  . "ALTER TABLE mirage.mark_plan DISABLE TRIGGER refuse_change; "
		  . "UPDATE mirage.mark_plan SET $damage WHERE model = (SELECT max(model) FROM saved)");
	refused($node, 'auditor', "SELECT * FROM dp_trace('SELECT * FROM kept', 'v')", 'XX001', qr/HINT.*mark_plan/s,
		'a damaged plan traces nothing');
	refused($node, 'owner', "SELECT dp_synthesize('v', 1)", 'XX001', qr/HINT.*mark_plan/s, 'and marks nothing');
	value($node, undef, "UPDATE mirage.mark_plan p SET sealed = s.sealed FROM saved s WHERE s.model = p.model; "
		  . "ALTER TABLE mirage.mark_plan ENABLE ALWAYS TRIGGER refuse_change; DROP TABLE saved");
}

# A key file that is gone: no mark, no rows, no answer.
my $key = $node->data_dir . '/pg_mirage.key';
rename($key, "$key.away") or die $!;
refused($node, 'auditor', "SELECT * FROM dp_trace('SELECT * FROM kept', 'v')", 'F0000', qr/master key/,
	'nothing is traced without the master key');
rename("$key.away", $key) or die $!;

# A dump carries plans, switches and keys.
$node->command_ok([ 'pg_dump', '-Fc', '-f', $node->basedir . '/dump', '-d', $node->connstr('postgres') ], 'a dump');
value($node, undef, 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $node->basedir . '/dump' ], 'restored');
is(value($node, 'auditor', "SELECT string_agg(coalesce(recipient, 'model'), ',' ORDER BY ordinality) "
	  . "FROM dp_trace('SELECT * FROM kept', 'v') WITH ORDINALITY WHERE p_value < 1e-6", db => 'restored'), 'model,r3',
	'the same is found in a database that was restored from a dump');
is(value($node, undef, "SELECT marked FROM mirage.mark_switch ORDER BY id DESC LIMIT 1", db => 'restored'), 't',
	'switches are in the dump');
audit_ok($node, 'the log is whole');

done_testing();
