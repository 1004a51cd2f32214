# Races: many sessions at once for a budget that has room for some of them, for one name, and for too few background
# workers.
use strict;
use warnings;

use Mirage;
use Test::More;

my $sessions = 10;
my $node = new_node('race');

value($node, undef, 'CREATE ROLE owner LOGIN; GRANT CREATE ON SCHEMA public TO owner; GRANT mirage_trainer TO owner');

sub never_over
{
	my ($budget, $what) = @_;
	is(value($node, undef, "SELECT used <= 1 AND used > 0 FROM dp_budgets WHERE name = '$budget'"), 't',
		"$what: never over the cap");
}

# ---------------------------------------------------------------- room for k

my ($epsilon, $each) = (2, 0.9);
my $k = k_of($node, $epsilon, $each);
cmp_ok($k, '>=', 2, "one after the other, a budget takes $k");
cmp_ok($k, '<', $sessions - 2, 'which is fewer than there will be sessions');

people($node, 'folk', 2000, owner => 'owner');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => $epsilon)");
my $seen = outcome(all_at_once($node, 'owner',
	map { "SELECT dp_train('race_$_', 'folk', epsilon => $each)" } 1 .. $sessions));
is($seen, join(' ', '54000:' . ($sessions - $k), "ok:$k"), "$sessions sessions at once: exactly $k succeed, the "
	  . "others are refused");
is(value($node, undef, "SELECT count(*), count(*) FILTER (WHERE state = 'spent') FROM dp_ledger WHERE budget = "
	  . "'folk'"), "$k|$k",
	'as many charges, all spent');
is(value($node, undef, "SELECT count(*) FROM dp_models WHERE name LIKE 'race%'"), $k, 'as many models');
is(value($node, undef, "SELECT count(*) FROM dp_jobs WHERE relation = 'public.folk'"), $k,
	'the others never were jobs');
never_over('folk', 'the race');
my $left = value($node, undef, "SELECT remaining FROM dp_budgets WHERE name = 'folk'");
cmp_ok($left, '<', $each, 'what is left is less than one more');
refused($node, 'owner', "SELECT dp_train('more', 'folk', epsilon => $left * 1.01)", '54000', qr/no room.*DETAIL/s,
	'a little more than what is left is refused');
can_train($node, 'owner', 'rest', 'folk', 'what is left can be spent', epsilon => $left * 0.999);
never_over('folk', 'the rest');
audit_ok($node, 'the log is whole after the race');

# ---------------------------------------------------------------- room for one

for my $round (1 .. 3)
{
	value($node, 'owner', "CREATE TABLE one_$round AS SELECT * FROM folk LIMIT 1000; SELECT dp_protect('one_$round', "
		  . "epsilon => 1)");
	$seen = outcome(all_at_once($node, 'owner', map { "SELECT dp_train('one_${round}_$_', 'one_$round', epsilon => "
		  . "0.8)" } 1 .. 2));
	is($seen, '54000:1 ok:1', "two sessions, room for one, round $round");
	never_over("one_$round", "round $round");
}

# ---------------------------------------------------------------- one budget under two tables, with shares

value($node, undef, 'CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN');
value($node, 'owner', <<'EOC');
SELECT dp_create_budget('town', 1);
CREATE TABLE east AS SELECT * FROM folk LIMIT 1000;
CREATE TABLE west AS SELECT * FROM folk LIMIT 1000;
SELECT dp_protect('east', budget => 'town');
SELECT dp_protect('west', budget => 'town');
SELECT dp_grant_budget('town', 'ann', 0.8);
SELECT dp_grant_budget('town', 'bob', 0.95);
EOC
my @a = all_at_once($node, 'ann', "SELECT dp_train('east_a', 'east', epsilon => 0.7)",
	"SELECT dp_train('west_a', 'west', epsilon => 0.7)");
is(outcome(@a), '54000:1 ok:1', 'a share is not exceeded by two sessions at two tables');
$seen = value($node, undef, "SELECT count(*), sum(epsilon) = 0.7 FROM dp_ledger WHERE budget = 'town' AND share = "
	  . "'ann'");
is($seen, '1|t', 'one charge for it');
refused($node, 'bob', "SELECT dp_train('west_b', 'west', epsilon => 0.95)", '54000', qr/budget "town" has no room/,
	'another\'s share is not a claim on what the budget has not');

# A share follows the role, not its name.
value($node, undef, 'ALTER ROLE ann RENAME TO anna; CREATE ROLE ann LOGIN');
refused($node, 'anna', "SELECT dp_train('x', 'east', epsilon => 0.5)", '54000', qr/share/,
	'a new name is no new share');
refused($node, 'ann', "SELECT dp_train('x', 'east', epsilon => 0.1)", '42501', undef, 'and the old name is nobody');
value($node, 'owner', "SELECT dp_grant_budget('town', 'anna', 0.8)");
refused($node, 'anna', "SELECT dp_train('x', 'east', epsilon => 0.5)", '54000', qr/share/,
	'granted anew, it holds what was charged to it');

# ---------------------------------------------------------------- one name

value($node, 'owner', "CREATE TABLE named AS SELECT * FROM folk LIMIT 1000; SELECT dp_protect('named', epsilon => 20)");
my @s = all_at_once($node, 'owner', map { "SELECT dp_train('same', 'named', epsilon => 0.3)" } 1 .. 5);
is(outcome(@s), '42710:4 ok:1', 'five sessions train one name: one has it');
is(value($node, undef, "SELECT count(*) FILTER (WHERE state = 'done') = 1 AND count(*) FILTER (WHERE state = "
	  . "'running') = 0 "
	  . "FROM dp_jobs WHERE model = 'same'"), 't', 'one job is done, none is left');
is(charges($node, 'named'), 'same:spent', 'and only that one has paid: who cannot have the name is refused before');

# ---------------------------------------------------------------- releases at once

@s = all_at_once($node, 'owner', ("SELECT count(*) FROM dp_synthesize('same', 100) AS t(age int)") x $sessions);
is(outcome(@s), "ok:$sessions", "$sessions releases at once");
is(value($node, undef, 'SELECT count(*), count(DISTINCT id) FROM mirage.issuance'), "$sessions|$sessions",
	'each has a number of its own');
audit_ok($node, 'the log is whole after them');

# ---------------------------------------------------------------- too few workers

$node->append_conf('postgresql.conf', "max_worker_processes = 2\nmax_logical_replication_workers = "
	  . "0\nmax_parallel_workers = 0");
$node->restart;
@s = all_at_once($node, 'owner', map { "SELECT dp_train('few_$_', 'named', epsilon => 0.3)" } 1 .. $sessions);
is(outcome(@s), "ok:$sessions", "$sessions trainings succeed with two slots, one after the other");
is(value($node, undef, "SELECT count(*) FROM dp_ledger WHERE model LIKE 'few%' AND state = 'spent'"), $sessions,
	'and have paid');

make_gate($node);
my $gate = hold_gate($node);
my $job = train_gated($node, 'slot_1');
my $job2 = value($node, undef, "SELECT dp_train('slot_2', 'gated_v', epsilon => 0.5, wait => false)");
Mirage::await_gated($node, workers => 2);
my $ledger = value($node, undef, 'SELECT count(*) FROM mirage.ledger');
my $err = refused($node, 'owner', "SET pg_mirage.worker_timeout = 0; SELECT dp_train('none', 'named', epsilon => 0.3)",
	'53000',
	qr/no background worker slot/, 'with worker_timeout = 0 a training without a slot is refused');
like(hint_of($err), qr/max_worker_processes/, 'with a hint');
refused($node, 'owner', "SET pg_mirage.worker_timeout = '300ms'; SELECT dp_train('none', 'named', epsilon => 0.3)",
	'53000', undef,
	'after a while, too');
refused($node, 'owner', "SET pg_mirage.worker_timeout = 0; SELECT dp_synthesize('same', 3)", '53000', undef,
	'nor are rows given out that nobody can write down');
is(value($node, undef, 'SELECT count(*) FROM mirage.ledger'), $ledger, 'nothing was charged');
is(value($node, undef, "SELECT count(*) FROM dp_jobs WHERE model = 'none'"), '0', 'and nothing began');
my $patient = session($node, 'owner');
$patient->start("SET pg_mirage.worker_timeout = '60s'; SELECT dp_train('patient', 'named', epsilon => 0.3)");
my $cancelled = session($node, 'owner');
$cancelled->start("SELECT dp_train('cancelled', 'named', epsilon => 0.3)");
await($node, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%dp_train%' AND pid IN ("
	  . $patient->pid . ', ' . $cancelled->pid . ')', 2);
value($node, undef, 'SELECT pg_cancel_backend(' . $cancelled->pid . ')');
$cancelled->failed_with('57014', undef, 'who waits for a slot can be cancelled');
$gate->close;
$patient->finish;
unlike($patient->err, qr/ERROR/, 'who waited got a slot in the end');
is(value($node, undef, "SELECT dp_wait($job), dp_wait($job2)"), 'done|done', 'and so did the two before');
$_->close for ($patient, $cancelled);
audit_ok($node, 'the log is whole');

$node->stop;
done_testing();
