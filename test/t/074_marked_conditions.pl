# Marks where rows are not any rows of the model: under conditions of a call, of a grant, and of a query over a foreign
# table; of a table with enforced checks, a column that depends on another, and keys. Found, and nobody named who had
# no part in them.
#
# Each statistic is 6 draws, each of a new recipient, of which 4 must succeed: at a true rate of 19 of 20 fewer do with
# probability 0.0022, at 0.99 with 0.00002 (test/t/060_watermark.pl); without a mark none does.
use strict;
use warnings;

use Mirage;
use Test::More;

my $draws = 6;
my $enough = 4;
my $CERTAIN = 1e-6;
my $node = new_node('marked_conditions');

value($node, undef, "CREATE ROLE $_ LOGIN") for qw(owner pooler confined);
value($node, undef, 'CREATE ROLE auditor LOGIN IN ROLE mirage_auditor; CREATE ROLE admin LOGIN IN ROLE mirage_admin; '
	  . 'GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE SCHEMA f AUTHORIZATION owner; '
	  . 'GRANT USAGE ON FOREIGN DATA WRAPPER pg_mirage_fdw TO owner');
value($node, 'owner', <<'EOC');
SET client_min_messages = warning;
CREATE TABLE stay (
  id int PRIMARY KEY, ticket text NOT NULL UNIQUE,
  region text NOT NULL CHECK (region IN ('north', 'south', 'east', 'west')),
  city text NOT NULL CHECK (city IN ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l')),
  district text NOT NULL CHECK (district IN ('a1', 'b2', 'c3', 'd4')),
  age int NOT NULL CHECK (age BETWEEN 0 AND 99), first int NOT NULL CHECK (first BETWEEN 1 AND 365),
  last int NOT NULL CHECK (last BETWEEN 1 AND 365), CHECK (first <= last),
  ward text NOT NULL CHECK (ward IN ('A', 'B', 'C', 'D', 'E', 'F', 'G')), paid int CHECK (paid BETWEEN 0 AND 9999),
  outcome text NOT NULL CHECK (outcome IN ('home', 'care', 'other', 'died')),
  kind text CHECK (kind IN ('k1', 'k2', 'k3', 'k4', 'k5')), score int NOT NULL CHECK (score BETWEEN 0 AND 200));
-- several columns hang together: h is hidden
INSERT INTO stay SELECT i, 'T' || lpad(i::text, 6, '0'),
  (ARRAY['north', 'south', 'east', 'west'])[1 + (h + abs(hashint4(i * 3)) % 2) % 4], chr(97 + c),
  (ARRAY['a1', 'b2', 'c3', 'd4'])[1 + c / 3], least(99, h * 8 + abs(hashint4(i * 5)) % 25), f,
  least(365, f + h + abs(hashint4(i * 7)) % 20), chr(65 + (h / 2 + abs(hashint4(i * 11)) % 3) % 7),
  CASE WHEN i % 8 > 0 THEN least(9999, h * 500 + abs(hashint4(i * 13)) % 3000) END,
  (ARRAY['home', 'home', 'care', 'other', 'died'])[1 + (h + abs(hashint4(i * 17)) % 3) % 5],
  (ARRAY['k1', 'k2', 'k3', 'k4', 'k5', NULL])[1 + abs(hashint4(i * 19)) % 6],
  least(200, 10 * h + abs(hashint4(i * 23)) % 60)
FROM (SELECT i, abs(hashint4(i * 41)) % 11 AS h, abs(hashint4(i * 43)) % 12 AS c, 1 + abs(hashint4(i * 47)) % 340 AS f
  FROM generate_series(1, 10000) i) x;
SELECT dp_protect('stay', epsilon => 100);
SELECT dp_set_column('stay', 'id', kind => 'identifier'),
  dp_set_column('stay', 'ticket', kind => 'identifier', pattern => 'T######'),
  dp_set_column('stay', 'district', depends_on => '{city}');
SELECT dp_train('s', 'stay', 'aim', epsilon => 10);
GRANT SELECT ON stay TO auditor;
SELECT dp_grant('s', 'pooler'), dp_grant('s', 'confined', conditions => '{"region": "north"}');
CREATE SERVER models FOREIGN DATA WRAPPER pg_mirage_fdw;
IMPORT FOREIGN SCHEMA models FROM SERVER models INTO f OPTIONS (rows '60000', seed '7');
GRANT USAGE ON SCHEMA f TO pooler;
GRANT SELECT ON ALL TABLES IN SCHEMA f TO pooler;
EOC
value($node, undef, "SELECT dp_allow_claims('pooler'), dp_allow_claims('confined')");

# Rows of a query, given to a new recipient that the role names, in the table leak; the recipient's name.
my $recipients = 0;
sub give
{
	my ($role, $query) = @_;
	my $name = 'draw ' . ++$recipients;

	value($node, $role, "SET pg_mirage.recipient = '$name'; DROP TABLE IF EXISTS leak; CREATE TABLE leak AS $query; "
		  . 'GRANT SELECT ON leak TO auditor');
	return "claim:$name";
}

# (corrected p of the model's key, recipients that are named for certain)
sub trace
{
	my ($query) = @_;
	my ($p, @named) = (1);

	for (split /\n/, value($node, 'auditor', "SELECT coalesce(recipient, '-'), p_value FROM "
		  . "dp_trace(\$q\$$query\$q\$, 's')"))
	{
		my ($recipient, $value) = split /\|/;

		if ($recipient eq '-') { $p = $value; }
		elsif ($value < $CERTAIN) { push @named, $recipient; }
	}
	return ($p, join(',', sort @named));
}

sub found
{
	my ($what, $role, $query) = @_;
	my ($good, $largest) = (0, 0);

	for (1 .. $draws)
	{
		my $name = give($role, $query);
		my ($p, $named) = trace('SELECT * FROM leak');

		$good++ if $p < $CERTAIN && $named eq $name;
		$largest = $p if $p > $largest;
	}
	ok($good >= $enough, "$what name model and recipient, and nobody else: $good of $draws");
	note(sprintf('%s: %d of %d; largest p-value of the model: %.1e', $what, $good, $draws, $largest));
	value($node, $role, 'DROP TABLE leak');
}

my $as = "SELECT * FROM dp_synthesize_as(NULL::stay, 's'";
my $north = q['{"region": "north"}'];
my $narrow = q['{"region": "north", "age": [20, 59]}'];

for my $rows (300, 3000)
{
	found("$rows rows of a table with checks, keys and a dependent column", 'pooler', "$as, $rows)");
	found("$rows rows of a call with a condition", 'pooler', "$as, $rows, $north)");
	found("$rows rows of a call with two conditions", 'pooler', "$as, $rows, $narrow)");
	found("$rows rows of a grant that is confined", 'confined', "$as, $rows)");
}
# A foreign table's rows are those of large batches, which no condition has drawn: more of them are needed.
for my $rows (1000, 3000)
{
	found("$rows rows that a foreign table has where a condition holds", 'pooler',
		"SELECT * FROM f.s WHERE region = 'north' AND age BETWEEN 20 AND 59 LIMIT $rows");
}

# What was to be kept was: the checks, the function, the keys, and the conditions.
give('pooler', "$as, 3000, $narrow)");
is(value($node, undef, "SELECT count(*), count(DISTINCT id), count(DISTINCT ticket), bool_and(first <= last), "
	  . "bool_and(region = 'north' AND age BETWEEN 20 AND 59), max(districts) FROM leak, "
	  . "(SELECT max(n) AS districts FROM (SELECT count(DISTINCT district) AS n FROM leak GROUP BY city) x) y"),
	'3000|3000|3000|t|t|1',
	'a mark violates no constraint and no condition');

# ---------------------------------------------------------------- nobody is named who had no part

sub nobody
{
	my ($what, $query) = @_;
	my ($p, $named) = trace($query);

	ok($p > 1e-3 && $named eq '', "$what come from no model and nobody, of $recipients recipients")
	  or diag("p $p, $named");
}

nobody('real rows that satisfy the condition', "SELECT * FROM stay WHERE region = 'north'");
nobody('real rows that satisfy two', "SELECT * FROM stay WHERE region = 'north' AND age BETWEEN 20 AND 59");
value($node, 'admin', "SELECT dp_set_model('s', watermark => false)");
for my $condition ('NULL', $north, $narrow)
{
	value($node, 'pooler', "DROP TABLE leak") if value($node, undef, "SELECT to_regclass('leak') IS NOT NULL") eq 't';
	give('pooler', "$as, 5000, $condition)");
	nobody("rows without a mark under $condition", 'SELECT * FROM leak');
}
audit_ok($node, 'the log is whole');

done_testing();
