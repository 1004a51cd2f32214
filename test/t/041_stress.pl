# Stress and transactions: 32 sessions at the end of a budget, with the server's own number of background workers, and
# every way in which a transaction may come to nothing around a call that spends, or around one that must not last.
use strict;
use warnings;

use Mirage;
use Test::More;
use Time::HiRes qw(time);

my $sessions = 32;

# max_worker_processes as it is in a server that nobody has configured: far fewer than the sessions.
my $node = new_node('stress', conf => "max_worker_processes = 8\nmax_prepared_transactions = 10\n");

value($node, undef, 'CREATE ROLE owner LOGIN; CREATE ROLE analyst LOGIN; GRANT CREATE ON SCHEMA public TO owner');
people($node, 'folk', 1000, owner => 'owner');
srand(41);

# ---------------------------------------------------------------- 32 sessions

sub figures
{
	my ($budget) = @_;
	return split(/\|/, value($node, undef, "SELECT used, remaining FROM dp_budgets WHERE name = '$budget'"));
}

sub protect_copy
{
	my ($table, $epsilon) = @_;

	value($node, 'owner', "CREATE TABLE $table AS SELECT age, sex, member FROM folk; "
		  . "SELECT dp_protect('$table', epsilon => $epsilon)");
}

my $train = "method => 'independent', epsilon =>";

# How long every session takes to have had a worker, each once.
my $once;

# The same price for all: as many succeed as would one after the other, and the others are told of the budget, not of
# the workers.
{
	my ($cap, $each) = (2, 0.5);

	protect_copy('alone', $cap);
	my $k = 0;
	for (; $k < $sessions; $k++)
	{
		my ($rc, undef, $err) = run_as($node, 'owner', "SELECT dp_train('alone_$k', 'alone', $train $each)");
		last if $rc != 0;
	}
	cmp_ok($k, '>', 2, "one after the other, $k fit");
	cmp_ok($k, '<', $sessions / 2, 'which is less than half of the sessions');
	protect_copy('last', $cap);
	my $begun = time;
	my $seen = outcome(all_at_once($node, 'owner',
		map { "SELECT dp_train('last_$_', 'last', $train $each)" } 1 .. $sessions));
	$once = time - $begun;
	note(sprintf('%d sessions: %.1f s', $sessions, $once));
	is($seen, join(' ', '54000:' . ($sessions - $k), "ok:$k"), "$sessions sessions, room for $k: nobody is refused for "
		  . 'lack of a worker');
	my ($used, $remaining) = figures('last');
	cmp_ok($used, '<=', 1, 'not a hair over');
	cmp_ok($remaining, '<', $each, 'and no room was left unused');
	is($used, (figures('alone'))[0], 'used is what it is without a race');
	is(value($node, undef, "SELECT count(*), count(DISTINCT model) FROM dp_ledger WHERE budget = 'last' AND "
			  . "state = 'spent'"),
		"$k|$k", "$k charges, all spent");
	audit_ok($node, 'the log is whole');
}

# Odd prices: whoever was refused did not fit, as what is left shows, for use only grows.
for my $round (1 .. 2)
{
	my @price = map { sprintf('%.4f', 0.05 + rand(0.9)) } 1 .. $sessions;

	protect_copy("odd_$round", 1.5);
	my @s = all_at_once($node, 'owner', map { "SELECT dp_train('odd_${round}_$_', 'odd_$round', $train $price[$_])" }
		  0 .. $sessions - 1);
	my @refused = grep { code_of($s[$_]) eq '54000' } 0 .. $#s;
	my @fine = grep { code_of($s[$_]) eq 'ok' } 0 .. $#s;
	my ($used, $remaining) = figures("odd_$round");

	is(@refused + @fine, $sessions, "odd prices, round $round: all succeed or are told of the budget")
	  or diag(join("\n", map { $_->err } @s));
	cmp_ok($used, '<=', 1, 'not a hair over');
	is(join(' ', grep { $price[$_] <= $remaining } @refused), '', 'nobody is refused what would have fitted');
	my $sum = value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'odd_$round'");
	is($sum, scalar @fine, 'a charge for each that succeeded, and no other');
	$_->close for @s;
}

# Some of the sessions are shot while they race. What they may have charged stays charged.
{
	protect_copy('shot', 3);
	my @s = map { session($node, 'owner') } 1 .. $sessions;
	$s[$_]->start("SELECT dp_train('shot_$_', 'shot', $train 0.4)") for 0 .. $#s;
	for my $i (grep { $_ % 3 == 0 } 0 .. $#s)
	{
		select(undef, undef, undef, rand(0.05));
		my $function = rand() < 0.5 ? 'pg_cancel_backend' : 'pg_terminate_backend';
		value($node, undef, "SELECT $function(" . $s[$i]->pid . ')');
	}
	$_->finish for @s;
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_mirage%'", 0);
	my $seen = outcome(@s);
	my ($used) = figures('shot');

	like($seen, qr/^(?:(?:54000|57014|57P01|ok):\d+ ?)+$/, "a race in which every third is shot: $seen");
	cmp_ok($used, '<=', 1, 'not a hair over');
	is(value($node, undef, "SELECT count(*) FROM dp_ledger l JOIN dp_jobs j ON j.id = l.job WHERE l.budget = "
			  . "'shot' AND NOT ((l.state, j.state) IN (('spent', 'done'), ('spent', 'cancelled'), "
			  . "('released', 'cancelled')))"),
		'0', 'every charge is settled as its job ended');
	is(value($node, undef, "SELECT string_agg(model, ' ' ORDER BY id) FROM dp_jobs WHERE relation = "
			  . "'public.shot' AND state = 'done'"),
		value($node, undef, "SELECT string_agg(name, ' ' ORDER BY j.id) FROM dp_models m LEFT JOIN dp_jobs j "
			  . "ON j.model = m.name WHERE m.relation = 'public.shot'"),
		'a model for every job that is done, and no other');
	audit_ok($node, 'the log is whole');
}

# One after the other, without a pause: who waits for a worker is not overtaken for ever by those who come back. Who
# were
# overtaken each time would wait for as long as all rounds take but one; they wait for less, on a slow machine too.
{
	my $times = 5;
	my $most = sprintf('%.0f', 1000 * (3 * $once > 10 ? 3 * $once : 10));

	protect_copy('again', 20);
	my @s = all_at_once(
		$node, 'owner',
		map {
			my $i = $_;
			join(";\n", "SET pg_mirage.worker_timeout = $most",
				map { "SELECT dp_train('again_${i}_$_', 'again', $train 0.1, delta => 1e-12)" } 1 .. $times)
		} 1 .. $sessions);
	is(outcome(@s), "ok:$sessions", "$sessions sessions of $times trainings each: nobody starves");
	is(value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'again' AND state = 'spent'"),
		$sessions * $times, 'all have paid');
}

# Releases race for the same workers as trainings do.
{
	my $half = $sessions / 2;

	protect_copy('mixed', 20);
	can_train($node, 'owner', 'mixed_0', 'mixed', 'a model to release from');
	my @s = all_at_once($node, 'owner', (map { "SELECT dp_train('mixed_$_', 'mixed', $train 0.3)" } 1 .. $half),
		(map { "SELECT count(*) FROM dp_synthesize('mixed_0', 20) AS t(age int)" } 1 .. $half));
	is(outcome(@s), "ok:$sessions", "$half trainings and $half releases at once");
	is(value($node, undef, "SELECT count(*), count(DISTINCT id) FROM mirage.issuance WHERE model_name = 'mixed_0'"),
		"$half|$half", 'every release is written down');
	audit_ok($node, 'the log is whole');
}

# ---------------------------------------------------------------- nothing refunds

# After each of these there is one charge more, spent, and a model; use never falls.
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 12)");
my ($paid, $used) = (0, 0);

sub paid
{
	my ($model, $what) = @_;
	my ($now) = figures('folk');

	$paid++;
	is(value($node, undef, "SELECT (SELECT state FROM dp_ledger WHERE model = '$model'), count(*) FROM dp_ledger WHERE "
			  . "budget = 'folk'"), "spent|$paid", "$what: the charge stands");
	cmp_ok($now, '>', $used, "$what: use has grown");
	$used = $now;
}

sub train
{
	my ($model) = @_;
	return "dp_train('$model', 'folk', $train 0.3)";
}

run_as($node, 'owner', "BEGIN; SAVEPOINT a; SAVEPOINT b; SELECT @{[train('nested')]}; RELEASE b; ROLLBACK TO a; "
	  . 'COMMIT');
paid('nested', 'a savepoint released within one rolled back');

run_as($node, 'owner', "BEGIN; SAVEPOINT a; SELECT @{[train('twice_1')]}; ROLLBACK TO a; SELECT @{[train('twice_2')]}; "
	  . 'ROLLBACK');
$paid++;
paid('twice_2', 'two trainings, one rolled back to a savepoint and one with all');
is(value($node, undef, "SELECT state FROM dp_ledger WHERE model = 'twice_1'"), 'spent', 'the first stands as well');

run_as($node, 'owner', "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM folk; SELECT @{[train('serial')]}; "
	  . 'ROLLBACK');
paid('serial', 'a serializable transaction that is rolled back');

run_as($node, 'owner', "BEGIN; DECLARE c CURSOR FOR SELECT @{[train('cursor')]}; FETCH c; CLOSE c; ROLLBACK");
paid('cursor', 'a cursor');

run_as($node, 'owner', "DO \$\$ BEGIN PERFORM @{[train('inner')]}; BEGIN RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; "
	  . "END; ROLLBACK; RAISE 'y'; END \$\$");
paid('inner', 'a DO block with a subtransaction, a ROLLBACK and an exception');

value($node, 'owner', "CREATE PROCEDURE regrets() LANGUAGE plpgsql AS \$\$ BEGIN PERFORM @{[train('procedure')]}; "
	  . 'ROLLBACK; COMMIT; END $$');
quietly($node, 'owner', 'CALL regrets()', 'a procedure that rolls back');
paid('procedure', 'a procedure');

# A function of the owner's, called by who may not train, within a block that swallows its exception.
value($node, 'owner', <<"EOC");
CREATE FUNCTION lend() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS
\$\$ BEGIN PERFORM @{[train('lent')]}; RAISE EXCEPTION 'regret'; END \$\$;
EOC
quietly($node, 'analyst', "DO \$\$ BEGIN PERFORM lend(); EXCEPTION WHEN OTHERS THEN IF SQLERRM <> 'regret' THEN RAISE; "
	  . 'END IF; END $$', 'an analyst calls a function of the owner\'s, which fails in the end');
paid('lent', 'a SECURITY DEFINER function');

# Triggers: immediate, in a statement that fails; deferred, in a COMMIT that fails.
value($node, 'owner', <<"EOC");
CREATE TABLE events (what text NOT NULL);
CREATE FUNCTION on_event() RETURNS trigger LANGUAGE plpgsql AS
\$\$
BEGIN
  PERFORM dp_train(NEW.what, 'folk', $train 0.3);
  IF NEW.what LIKE '%fails' THEN RAISE EXCEPTION 'no'; END IF;
  RETURN NEW;
END \$\$;
CREATE TRIGGER t AFTER INSERT ON events FOR EACH ROW WHEN (NEW.what LIKE 'row%') EXECUTE FUNCTION on_event();
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.what LIKE 'deferred%') EXECUTE FUNCTION on_event();
EOC
quietly($node, 'owner', "BEGIN; INSERT INTO events VALUES ('row'); ROLLBACK", 'a trigger trains');
paid('row', 'a trigger whose statement is rolled back');
refused($node, 'owner', "INSERT INTO events VALUES ('row_fails')", 'P0001', qr/no/, 'a trigger trains and fails');
paid('row_fails', 'a trigger that fails');
quietly($node, 'owner', "INSERT INTO events VALUES ('deferred')", 'a deferred trigger trains while the caller commits');
paid('deferred', 'a deferred trigger');
refused($node, 'owner', "INSERT INTO events VALUES ('deferred_fails')", 'P0001', qr/no/,
	'a deferred trigger that fails');
paid('deferred_fails', 'a COMMIT that came to nothing');
is(value($node, 'owner', "SELECT string_agg(what, ' ') FROM events"), 'deferred', 'what was rolled back is gone');

# ---------------------------------------------------------------- two-phase commit

quietly($node, 'owner', "BEGIN; SELECT @{[train('prepared')]}; PREPARE TRANSACTION 'p1'",
	'a transaction that has trained can be prepared');
paid('prepared', 'a prepared transaction');
$node->stop('immediate');
$node->start;
quietly($node, 'owner', "ROLLBACK PREPARED 'p1'", 'and rolled back after a crash');
is(value($node, undef, "SELECT state FROM dp_ledger WHERE model = 'prepared'"), 'spent', 'the charge stands');

# Protections, shares and grants are the transaction's: they last with it, and not before.
value($node, 'owner', 'CREATE TABLE later AS SELECT age, sex FROM folk; CREATE TABLE never AS SELECT age FROM folk');
quietly($node, 'owner', "BEGIN; SELECT dp_protect('later', epsilon => 3); SELECT dp_grant_budget('later', 'analyst', "
	  . "1); PREPARE TRANSACTION 'p2'", 'a protection is prepared');
quietly($node, 'owner', "BEGIN; SELECT dp_protect('never', epsilon => 3); PREPARE TRANSACTION 'p3'", 'another is');
quietly($node, 'owner', "BEGIN; SELECT dp_grant('row', 'analyst'); PREPARE TRANSACTION 'p4'", 'a grant is');
my $ledger = value($node, undef, 'SELECT count(*) FROM mirage.ledger');
refused($node, 'owner', "SELECT dp_train('early', 'later', $train 0.3)", '55000', qr/not protected/,
	'what is only prepared protects nothing');
refused($node, 'analyst', "SELECT dp_synthesize('row', 1)", '42501', undef, 'and grants nothing');
is(value($node, undef, 'SELECT count(*) FROM mirage.ledger'), $ledger, 'nothing was charged');

# Their entries in the log have numbers, and may still come: blocks made meanwhile must not pass over them, before and
# after a crash.
can_train($node, 'owner', 'meanwhile', 'folk', 'others train meanwhile', epsilon => 0.3);
paid('meanwhile', 'meanwhile');
audit_ok($node, 'the log is whole meanwhile');
$node->stop('immediate');
$node->start;
can_train($node, 'owner', 'after_crash', 'folk', 'and after a crash', epsilon => 0.3);
paid('after_crash', 'after a crash');
audit_ok($node, 'the log is whole then');
my $settled = value($node, undef, 'SELECT max(settled) FROM mirage.log_block');
quietly($node, 'owner', "COMMIT PREPARED 'p2'", 'the first is committed');
quietly($node, 'owner', "ROLLBACK PREPARED 'p3'", 'the second is rolled back');
quietly($node, 'owner', "COMMIT PREPARED 'p4'", 'the grant is committed');
cmp_ok(value($node, undef, "SELECT min(id) FROM mirage.log WHERE action = 'protect' AND object = 'public.later'"), '>',
	$settled, 'their entries were waited for');
audit_ok($node, 'the log is whole with entries that come late');
can_train($node, 'owner', 'later_1', 'later', 'now it can be trained on', epsilon => 0.3);
quietly($node, 'analyst', "SELECT dp_train('later_2', 'later', $train 0.3)", 'by the share too');
is(value($node, 'analyst', "SELECT count(*) FROM dp_synthesize('row', 3) AS t(age int)"), '3', 'and the grant holds');
refused($node, 'owner', "SELECT dp_train('x', 'never', $train 0.3)", '55000', qr/not protected/,
	'what was rolled back protects nothing');
quietly($node, 'owner', "SELECT dp_protect('never', epsilon => 2)", 'and its budget\'s name is free');
is(value($node, undef, "SELECT count(*) FROM dp_audit_log WHERE block IS NULL AND object IN ('public.later', 'row')"),
	'0',
	'the late entries are in a block by now');
audit_ok($node, 'the log is whole in the end');

# A revoke holds its grant's row until it is decided: what that grant would pay for waits, and is then given or refused.
# Nobody else waits, and who waits can be cancelled.
value($node, undef, 'CREATE ROLE colleague LOGIN');
value($node, 'owner', "SELECT dp_grant('row', 'colleague')");
for my $end (qw(ROLLBACK COMMIT))
{
	my $three = "SELECT count(*) FROM dp_synthesize('row', 3) AS t(age int)";
	my $waiting = session($node, 'analyst');

	quietly($node, 'owner', "BEGIN; SELECT dp_revoke('row', 'analyst'); PREPARE TRANSACTION 'p5'",
		'a revoke is prepared');
	$waiting->start($three);
	ok(await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage release' AND "
			  . "wait_event_type = 'Lock'", 1), 'a release by that grant waits for it');
	is(value($node, 'colleague', $three), '3', 'one by another grant does not');
	refused($node, 'analyst', "SET statement_timeout = '300ms'; $three", '57014', undef, 'who waits can be cancelled');
	value($node, 'owner', "$end PREPARED 'p5'");
	if ($end eq 'ROLLBACK')
	{
		is($waiting->finish, '3', 'rolled back: the grant holds, and the rows come');
		is(value($node, 'analyst', $three), '3', 'later ones too');
	}
	else
	{
		$waiting->failed_with('42501', undef, 'committed: the release that waited is refused');
		refused($node, 'analyst', $three, '42501', undef, 'and so are later ones');
	}
	$waiting->close;
}

# A release, too, is written down whatever becomes of its transaction.
my $issued = value($node, undef, 'SELECT count(*) FROM mirage.issuance');
run_as($node, 'owner', "BEGIN; SELECT dp_synthesize('row', 1); ROLLBACK");
run_as($node, 'owner', "BEGIN; SELECT dp_synthesize('row', 1); PREPARE TRANSACTION 'p6'");
run_as($node, 'owner', "BEGIN; SAVEPOINT s; SELECT dp_synthesize('row', 1); ROLLBACK TO s; COMMIT");
value($node, 'owner', "ROLLBACK PREPARED 'p6'");
is(value($node, undef, "SELECT count(*) - $issued FROM mirage.issuance"), '3',
	'three releases, all rolled back, all recorded');

# ---------------------------------------------------------------- a caller that does not wait for the disk

# The caller's setting, however it is made, is not the worker's: the server is pulled down the moment it has its answer.
value($node, undef, 'ALTER ROLE owner SET synchronous_commit = off');
value($node, undef, 'ALTER SYSTEM SET synchronous_commit = off');
value($node, undef, "ALTER SYSTEM SET wal_writer_delay = '10s'");
$node->restart;
for my $round (1 .. 3)
{
	my $wait = $round == 1 ? 'false' : 'true';
	my $s = session($node, 'owner');
	my $job = $s->query("SELECT dp_train('async_$round', 'folk', $train 0.3, wait => $wait)");

	$node->stop('immediate');
	$node->start;
	$s->close;
	$paid++;
	like($job, qr/^\d+$/, "asynchronous commit, round $round: the caller was told of its job");
	my $state = value($node, undef, "SELECT state FROM dp_ledger WHERE model = 'async_$round'");
	like($state, $round == 1 ? qr/^(?:reserved|spent)$/ : qr/^spent$/, 'its charge is there after the crash');
	is(value($node, undef, "SELECT count(*) FROM dp_ledger WHERE budget = 'folk'"), $paid, 'and so are all the others');
}
is(value($node, undef, "SELECT bool_and(used <= 1) FROM dp_budgets"), 't', 'no budget is beyond its cap');
audit_ok($node, 'the log is whole');

$node->stop;
done_testing();
