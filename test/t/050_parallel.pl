# Reading by a parallel plan: the planner may choose one for the reading query as for any other, its workers read as the
# role and under the settings of the training, and every row is read once, whoever reads it; bounding by units does not
# depend on who did.
#
# Which process reads a row is seen through a view that logs it: a function that is declared immutable and is not, which
# an administrator vouches for here.
use strict;
use warnings;

use Mirage;
use Test::More;

my $rows = 3000;
my $node = new_node('parallel', conf => "log_line_prefix = '<%b> '\n");

value($node, undef, <<EOC);
CREATE TABLE visits (person int NOT NULL, age int NOT NULL CHECK (age BETWEEN 0 AND 99), n int NOT NULL)
  WITH (fillfactor = 10);
INSERT INTO visits SELECT i % 700, i % 100, i FROM generate_series(1, $rows) i;
CREATE FUNCTION seen(n int, value int) RETURNS int LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS \$\$
BEGIN
  RAISE LOG 'row %.', n;
  RETURN value;
END \$\$;
CREATE VIEW watched AS SELECT person, seen(n, age) AS age FROM visits;
SELECT dp_protect('visits', epsilon => 1000, unit => 'person', max_rows_per_unit => 2);
SELECT dp_protect('watched', budget => 'visits', assert_stable => true);
ANALYZE visits;
EOC

my $parallel = 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; '
  . 'SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; ';
my %plan = (parallel => $parallel, serial => 'SET max_parallel_workers_per_gather = 0; ');

# Trains and returns how many rows were read by each kind of process, and how many of them more or less than once.
sub readers
{
	my ($how) = @_;
	my $offset = -s $node->logfile;
	my (%by, %times);

	value($node, undef, "SET client_min_messages = warning; $plan{$how} SELECT dp_train('$how', 'watched', "
		  . "method => 'independent', epsilon => 100)");
	for (split /\n/, PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset))
	{
		next unless /^<([^>]*)> LOG:\s+row (\d+)\.$/;
		$by{$1}++;
		$times{$2}++;
	}
	return (\%by, scalar(grep { $_ != 1 } values %times) + $rows - keys %times);
}

my ($by, $wrong) = readers('parallel');
is($by->{'parallel worker'}, $rows, 'parallel workers read the rows');
is($wrong, 0, 'each row once');
($by, $wrong) = readers('serial');
is($by->{'parallel worker'}, undef, 'without them none does');
is($by->{'pg_mirage training'}, $rows, 'but the training');
is($wrong, 0, 'each row once');

# 700 people have four or five rows, of which two are used: at epsilon 100 the noise on the total is a few rows.
for my $how (sort keys %plan)
{
	my $n = value($node, undef, "SELECT count(*) FROM dp_synthesize('$how') AS t(age int)");

	ok(abs($n - 1400) < 70, "$how: two rows of each unit") or diag("$n rows");
}
is(value($node, undef, "SELECT string_agg(state, ' ' ORDER BY id) FROM dp_ledger"), 'spent spent', 'both are charged');
audit_ok($node, 'the log is whole');

$node->stop;
done_testing();
