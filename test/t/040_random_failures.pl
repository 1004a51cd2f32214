# Failures at random moments. Whatever dies, and whenever: the ledger holds every charge that could have touched data,
# none of them is released once a row was read, the log is whole, no file of the job is left, no budget is beyond its
# cap, and the next training works.
#
# A moment is a stage of a job and a misfortune. Every pair of them is in the sample once, in an order and with delays
# that the seed decides; the stages that take no time worth aiming at are held open by a lock (a gate), the others are
# hit after a random part of the time that they were measured to take. What must be in the ledger afterwards is
# concluded from what others saw before: the NOTICEs and results that reached the caller, and a line in the server's
# log that the table itself writes when its first row is read.
#
#   MIRAGE_FAILURES  moments (default: each pair once); beyond the number of pairs they come again with other delays
#   MIRAGE_SEED      of order and delays
use strict;
use warnings;

# A really full disk without being root: a small file system of our own, in a mount namespace where the system lets us
# have one. What is missing else is replaced by a limit on the size of the worker's files.
BEGIN
{
	if (!defined $ENV{MIRAGE_TINY})
	{
		my $dir = ($ENV{TESTDATADIR} // '/tmp') . '/tiny';
		my @in = ('unshare', '--user', '--map-root-user', '--mount', 'sh', '-c');
		my $mount = 'mount -t tmpfs -o size=16m,mode=700 tmpfs "$1" && exec unshare --user --map-user="$2" '
		  . '--map-group="$3" ';
		my @args = ('sh', $dir, $>, (split ' ', $))[0]);

		mkdir $dir;
		$ENV{MIRAGE_TINY} = '';
		if (system('sh', '-c', '"$@" >/dev/null 2>&1', 'sh', @in, $mount . 'true', @args) == 0)
		{
			$ENV{MIRAGE_TINY} = $dir;
			exec(@in, $mount . '"$4" -w "$5"', @args, $^X, $0) or die "unshare: $!";
		}
	}
}

use Mirage;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $begun = time;
my $seed = $ENV{MIRAGE_SEED} // 3;
my $tiny = $ENV{MIRAGE_TINY};
my $TINY_BYTES = 16 << 20;
my $EPSILON = 0.2; # of each training
my $METHOD = 'independent';
my $ROWS = 200000;

srand($seed);

my @stages = qw(start reservation chaining reading fitting storing settling anytime release);
my @faults = qw(kill9_worker kill9_postmaster immediate terminate_worker terminate_caller cancel_caller cancel_job);
my @pairs = map { my $stage = $_; map { [ $stage, $_ ] } @faults } @stages;
push @pairs, map { [ 'spill', $_ ] } ('temp_file_limit', 'file_size', $tiny ne '' ? 'full_disk' : 'file_size') x 3;
my $moments = $ENV{MIRAGE_FAILURES} || @pairs;

my @sample;
push @sample, shuffled(@pairs) while @sample < $moments;
splice @sample, $moments;
note("seed $seed, $moments moments; a full disk is "
	  . ($tiny ne '' ? 'a small file system' : 'RLIMIT_FSIZE alone: no mount namespace to be had here'));

sub shuffled
{
	my @a = @_;

	for my $i (reverse 1 .. $#a)
	{
		my $j = int(rand($i + 1));
		@a[ $i, $j ] = @a[ $j, $i ];
	}
	return @a;
}

# ---------------------------------------------------------------- what is trained on

# The small file system is where temporary files go. Small segments of WAL, so that a limit on
# the size of files hits nothing but the spill file.
my $node = new_node('failures',
	init => { extra => [ '--wal-segsize=1' ] },
	conf => "max_wal_size = 64MB\nshared_buffers = 64MB\nautovacuum = off\ntemp_file_limit = -1\n");
if ($tiny ne '')
{
	my $tmp = $node->data_dir . '/base/pgsql_tmp';

	rmdir $tmp;
	mkdir("$tiny/pgsql_tmp", 0700) && symlink("$tiny/pgsql_tmp", $tmp) or die "$tmp: $!";
}

my @open = map { "n$_" } 1 .. 2;
my @bounded = map { "b$_" } 1 .. 20;
my $columns = join(', ', 'k', @open, @bounded);

# Every row comes through a view that writes a line to the server's log for a few of them, the first among them: proof
# that rows were read which no crash takes back. The columns do not fit 32 MB of memory.
value($node, undef, join('', 'CREATE TABLE big (id int NOT NULL, k int NOT NULL CHECK (k BETWEEN 0 AND 6)',
	(map { ", $_ int NOT NULL" } @open),
	(map { ", $_ smallint NOT NULL CHECK ($_ BETWEEN 0 AND 999)" } @bounded), ')'));
value($node, undef, <<"EOC");
INSERT INTO big SELECT i, i % 7, ${\join(', ', map { "hashint4(i * $_)" } 1 .. @open)},
  ${\join(', ', map { "(i / $_) % 1000" } 1 .. @bounded)} FROM generate_series(0, $ROWS - 1) i;
CREATE FUNCTION mark() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE LOG \$\$a row was read\$\$; RETURN true; END';
CREATE VIEW big_v AS SELECT $columns FROM big WHERE CASE WHEN id % 20000 = 0 THEN mark() ELSE true END;
VACUUM big;
CREATE TABLE little AS SELECT i % 3 = 0 AS a, i % 4 AS b FROM generate_series(1, 200) i;
EOC

# Room for all of it and not much more.
my $cap = 0.6 + 0.2 * sqrt($moments) + 0.05 * $moments;
value($node, undef, "SELECT dp_create_budget('big', $cap); SELECT dp_protect('big', budget => 'big'); "
	  . "SELECT dp_protect('big_v', budget => 'big', assert_stable => true); "
	  . "SELECT dp_protect('little', epsilon => 20)");
can_train($node, undef, 'steady', 'little', 'a first training', epsilon => 1);

my $control = session($node, undef);

sub train_sql
{
	my ($model) = @_;
	return "SELECT dp_train('$model', 'big_v', method => '$METHOD', epsilon => $EPSILON, delta => 1e-12)";
}

# The caller of a moment, with what it is told so far: pumped often, never waited for.
sub caller_session
{
	my ($sql) = @_;
	my $s = session($node, undef);

	$s->query("SET pg_mirage.work_mem = '32MB'; SET client_min_messages = notice");
	$s->{from} = -s $node->logfile;
	$s->{begun} = time;
	$s->start($sql);
	return $s;
}

sub look
{
	my ($s) = @_;

	eval { $s->{run}->pump_nb; 1 };
	return [ $s->{err} =~ /NOTICE:.*job \d+: ([a-z ]+) \(/g ];
}

sub ended
{
	my ($s) = @_;

	look($s);
	return $s->{err} =~ /^-- mark $s->{marks}$/m || !eval { $s->{run}->pumpable };
}

# Polls until the caller was told of this phase, or has ended (false).
sub told
{
	my ($s, $phase) = @_;

	until (grep { $_ eq $phase } @{ look($s) })
	{
		return 0 if ended($s);
		sleep 0.003;
	}
	return 1;
}

sub let_pass
{
	my ($s, $seconds) = @_;
	my $end = time + $seconds;

	sleep 0.003 while time < $end && !ended($s);
}

# How long the stages take here: the median of three undisturbed trainings.
my (%length, $spilled);
for my $i (1 .. 3)
{
	my $s = caller_session(train_sql("calm_$i"));
	my $last = $s->{begun};

	for (['start', 'reading'], ['reading', 'learning the domain'], ['fitting', 'storing'])
	{
		my ($what, $until) = @$_;

		die $s->err unless told($s, $until);
		push @{ $length{$what} }, time - $last;
		$last = time;
	}
	$s->finish;
	push @{ $length{anytime} }, time - $s->{begun};
	$s->close;
}
$_ = (sort { $a <=> $b } @$_)[1] for values %length;
{
	my $s = session($node, undef);

	$s->query("SET log_temp_files = 0; SET pg_mirage.work_mem = '32MB'");
	my $from = -s $node->logfile;
	$s->query(train_sql('calm_4'));
	$s->close;
	($spilled) = sort { $b <=> $a } slurp_file($node->logfile, $from) =~ /temporary file: path .* size (\d+)/g;
	cmp_ok($spilled // 0, '>', 4 << 20, 'the table goes to a temporary file');
	note(join(', ', map { sprintf('%s: %.0f ms', $_, $length{$_} * 1000) } sort keys %length) . "; $spilled bytes");
}

# ---------------------------------------------------------------- processes

# Linux's own account of them: a worker is there from its first moment on, before any view shows it.
sub process
{
	my ($pid) = @_;

	open(my $f, '<', "/proc/$pid/stat") or return;
	my ($state, $parent) = (<$f> // '') =~ /\) (\S) (\d+)/ or return;
	return $state eq 'Z' ? () : ($parent);
}

sub children
{
	my ($parent) = @_;

	opendir(my $d, '/proc') or die "/proc: $!";
	return grep { /^\d+$/ && ((process($_))[0] // 0) == $parent } readdir($d);
}

sub workers
{
	my @found;

	for my $pid (children($node->{_pid}))
	{
		open(my $f, '<', "/proc/$pid/cmdline") or next;
		push @found, $pid if (<$f> // '') =~ /pg_mirage (?:training|release)/;
	}
	return @found;
}

# The job's worker, awaited for as long as the caller waits.
sub the_worker
{
	my ($s) = @_;

	for (;;)
	{
		my ($pid) = workers();

		return $pid if defined $pid;
		return if ended($s);
		sleep 0.002;
	}
}

sub until_gone
{
	my @pids = @_;
	my $end = time + 90;

	while (grep { defined process($_) } @pids)
	{
		return 0 if time > $end;
		sleep 0.01;
	}
	return 1;
}

# ---------------------------------------------------------------- gates

# Locks at which a worker stops in the middle of a stage: any of these, at random.
my %gates = (
	reservation => [
		"SELECT FROM mirage.budget WHERE name = 'big' FOR UPDATE", 'LOCK TABLE mirage.ledger IN SHARE MODE',
		'LOCK TABLE mirage.job IN SHARE MODE', 'LOCK TABLE mirage.wrapped_key IN SHARE MODE',
		'LOCK TABLE mirage.log IN SHARE MODE'
	],
	chaining => ['LOCK TABLE mirage.log_block IN EXCLUSIVE MODE'],
	storing => [
		map { "LOCK TABLE mirage.$_ IN SHARE MODE" }
		  qw(model model_column model_blob mark_plan model_fingerprint ledger job log)
	],
	settling => ['LOCK TABLE mirage.log_block IN EXCLUSIVE MODE'],
	release => [
		'LOCK TABLE mirage.issuance IN SHARE MODE', 'LOCK TABLE mirage.log IN SHARE MODE',
		'LOCK TABLE mirage.log_block IN EXCLUSIVE MODE', ''
	]);

sub take_gate
{
	my ($stage) = @_;
	my @g = @{ $gates{$stage} };
	my $lock = $g[ rand @g ];

	return if $lock eq '';
	my $gate = session($node, undef);
	$gate->query("BEGIN; $lock");
	return $gate;
}

# The worker that waits at the gate; undef: the caller has ended before.
sub at_gate
{
	my ($s) = @_;

	for (;;)
	{
		my $pid = $control->query("SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND "
			  . "backend_type LIKE 'pg_mirage%' LIMIT 1");

		return $pid if $pid ne '';
		return if ended($s);
		sleep 0.005;
	}
}

# ---------------------------------------------------------------- misfortunes

# Brings the stage about; returns the gate, where it has one, and whether the worker stands at it.
sub reach
{
	my ($stage, $s, $m) = @_;
	my $gate = $m->{gate};

	if ($stage eq 'start' || $stage eq 'anytime')
	{
		let_pass($s, rand($length{$stage} * 1.1));
	}
	elsif ($stage eq 'reading' || $stage eq 'fitting')
	{
		let_pass($s, rand($length{$stage})) if told($s, $stage eq 'reading' ? 'reading' : 'learning the domain');
	}
	elsif ($stage eq 'storing' || $stage eq 'settling')
	{
		$gate = $m->{gate} = take_gate($stage) if told($s, 'reading');
	}
	elsif ($stage eq 'release' && !$gate)
	{
		let_pass($s, rand(0.02));
	}
	return unless $gate;
	$m->{worker} = at_gate($s);
	$m->{held} = defined $m->{worker};
	let_pass($s, rand(0.05));
}

sub await_server
{
	my $end = time + 90;

	while (time < $end)
	{
		my ($rc) = run_as($node, undef, 'SELECT 1');

		return 1 if $rc == 0;
		sleep 0.02;
	}
	die 'the server does not come back';
}

# Strikes; returns whether the server went down.
sub strike
{
	my ($fault, $s, $m) = @_;

	if ($fault =~ /_worker$|^cancel_job$/)
	{
		my $pid = $m->{worker} // the_worker($s);

		return 0 unless defined $pid;
		if ($fault eq 'kill9_worker')
		{
			$m->{struck} = kill('KILL', $pid);
			return $m->{struck} ? 'crash' : 0;
		}
		my $function = $fault eq 'cancel_job' ? 'pg_cancel_backend' : 'pg_terminate_backend';
		my $sql = "SELECT $function(pid) FROM pg_stat_activity WHERE pid = $pid AND backend_type LIKE 'pg_mirage%'";

		$sql = "SELECT coalesce((SELECT dp_cancel(id) FROM mirage.job WHERE pid = $pid AND state = 'running'), ($sql))"
		  if $fault eq 'cancel_job';
		$m->{struck} = $control->query($sql) eq 't';
		# too young to be known to the server: by the same signal
		$m->{struck} ||= kill($fault eq 'cancel_job' ? 'INT' : 'TERM', $pid);
		return 0;
	}
	if ($fault =~ /_caller$/)
	{
		my $function = $fault eq 'cancel_caller' ? 'pg_cancel_backend' : 'pg_terminate_backend';

		$m->{struck} = $control->query("SELECT $function(" . $s->pid . ')') eq 't';
		return 0;
	}
	if ($fault eq 'immediate')
	{
		$node->stop('immediate');
	}
	else
	{
		my @left = children($node->{_pid});
		my $postmaster = $node->{_pid};

		$node->kill9;
		until_gone($postmaster, @left) or die 'processes outlive their postmaster';
		# One that is dead but was not waited for yet still counts as running by its lock files.
		unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock'
		  if -e "/proc/$postmaster";
	}
	$m->{struck} = 1;
	$node->start;
	return 'down';
}

# A disk that is full at a random place of the spill file. Returns the caller.
sub fill_disk
{
	my ($fault, $model, $m) = @_;
	my $room = (0.05 + rand(0.9)) * $spilled;
	my $sql = train_sql($model);

	if ($fault eq 'temp_file_limit')
	{
		$sql = 'SET temp_file_limit = ' . int($room / 1024) . "; $sql";
	}
	elsif ($fault eq 'full_disk')
	{
		open(my $f, '>', "$tiny/filler") or die "$tiny/filler: $!";
		print $f 'x' x ($TINY_BYTES - int($room));
		CORE::close($f);
	}
	else
	{
		$m->{gate} = take_gate('chaining');
	}
	my $s = caller_session($sql);
	if ($fault eq 'file_size')
	{
		# (more than a segment of WAL, less than the spill file)
		my $bytes = int((2 << 20) + $room / $spilled * 0.95 * ($spilled - (2 << 20)));
		my $pid = at_gate($s);

		system('prlimit', '--pid', $pid, "--fsize=$bytes:$bytes") == 0 or die 'prlimit';
	}
	$m->{struck} = 1;
	$m->{at} = sprintf('%.0f%% of the file', 100 * $room / $spilled);
	return $s;
}

# ---------------------------------------------------------------- what must hold

sub temp_files
{
	opendir(my $d, $node->data_dir . '/base/pgsql_tmp') or return;
	return grep { /^pgsql_tmp/ } readdir($d);
}

my (%history, %tally);
my $used_before = 0;

sub issuances
{
	return value($node, undef, 'SELECT count(*) FROM mirage.issuance');
}

# Of one training: what is in the ledger against what was seen.
sub judge_training
{
	my ($m, $s, $stage, $fault, $model) = @_;
	my %row;
	my @wrong;

	@row{qw(charge job model)} = map { $_ eq '' ? undef : $_ } split(
		/\|/,
		value($node, undef, "SELECT (SELECT string_agg(state, '+') FROM dp_ledger WHERE model = '$model'), "
			  . "(SELECT string_agg(state, '+') FROM dp_jobs WHERE model = '$model'), "
			  . "(SELECT string_agg(state, '+') FROM dp_models WHERE name = '$model')"),
		-1);
	my ($charge, $job) = map { $_ // 'none' } @row{qw(charge job)};
	my %told = map { $_ => 1 } @{ look($s) };
	my $read = (grep { $_ ne 'charged' && $_ ne 'starting' } keys %told)
	  || slurp_file($node->logfile, $s->{from}) =~ /a row was read/;
	my $done = $s->{out} =~ /^\d+$/m;

	push @wrong, 'the caller was told of a charge that is not there' if %told && $charge eq 'none';
	push @wrong, "rows were read, and the charge is $charge" if $read && $charge !~ /^(?:reserved|spent)$/;
	push @wrong, "the caller was told that it is done, and it is $charge, $job"
	  if $done && "$charge $job" ne 'spent done';
	push @wrong, "charge $charge, job $job"
	  unless "$charge $job" =~ /^(?:none none|reserved orphaned|(?:released|spent) (?:failed|cancelled)|spent done)$/;
	push @wrong, "job $job, and the model is " . ($row{model} // 'none') if ($job eq 'done') != defined $row{model};

	# Where the worker stood when it was ended at once is known, and so is what it had committed. The last chaining of
	# the log is a transaction of its own, after the one that stores the model and settles the charge.
	if ($m->{held} && $m->{struck} && $fault =~ /^(?:kill9_worker|immediate|terminate_worker)$/)
	{
		my $want = $stage eq 'reservation' ? 'none none' : $stage eq 'settling' ? 'spent done' : 'reserved orphaned';

		push @wrong, "charge $charge, job $job instead of $want" if "$charge $job" ne $want;
	}
	if ($stage eq 'spill')
	{
		push @wrong, "a full disk, and the charge is $charge, the job $job" if "$charge $job" ne 'spent failed';
		push @wrong, "a full disk is reported so: $s->{err}" unless $s->{err} =~ /ERROR:\s+5[38]\w{3}:/;
	}
	$m->{outcome} = $charge;
	$history{$model} = $charge;
	return @wrong;
}

sub judge_release
{
	my ($m, $s) = @_;
	my $rows = () = $s->{out} =~ /^\(/mg;
	my $more = issuances() - $m->{issuances};
	my $logged = value($node, undef, "SELECT count(*) FROM mirage.log WHERE action = 'release'");
	my @wrong;

	push @wrong, "$more issuances for a call that gave $rows rows" if $more > 1 || $rows > 0 && $more != 1;
	push @wrong, "$logged releases in the log, " . issuances() . ' issuances' if $logged != issuances();
	$m->{outcome} = $more ? 'issued' : 'none';
	return @wrong;
}

# Of everything.
sub judge_all
{
	my ($i) = @_;
	my @wrong;
	my %now = map { split /:/ } split(
		/,/,
		value($node, undef, "SELECT coalesce(string_agg(model || ':' || state, ','), '') "
			  . "FROM dp_ledger WHERE model LIKE 'm%'"));
	my ($audit, $used, $worst, $logged, $charges, $locks) = split(
		/\|/,
		value($node, undef, "SELECT (SELECT ok FROM dp_verify_audit()), "
			  . "(SELECT used FROM dp_budgets WHERE name = 'big'), "
			  . "(SELECT max(used) FROM dp_budgets), (SELECT count(*) FROM mirage.log WHERE action = 'charge'), "
			  . "(SELECT count(*) FROM mirage.ledger WHERE state = 'reserved'), "
			  . "(SELECT count(*) FROM pg_locks WHERE locktype = 'userlock')"));

	for my $model (keys %history)
	{
		my $is = $now{$model} // 'none';

		push @wrong, "$model was $history{$model} and is $is" if $is ne $history{$model};
	}
	push @wrong, 'the log is broken' if $audit ne 't';
	push @wrong, "charges in the log: $logged, in the ledger: $charges" if $logged != $charges;
	push @wrong, "a budget is beyond its cap: $worst" if $worst > 1;
	push @wrong, "use fell from $used_before to $used" if $used < $used_before;
	push @wrong, "locks of jobs are left: $locks" if $locks > 0;
	push @wrong, 'temporary files are left: ' . join(' ', temp_files()) if temp_files();
	$used_before = $used;

	my ($rc, undef, $err) =
	  run_as($node, undef, "SELECT dp_train('next_$i', 'little', epsilon => 0.05, delta => 1e-12)");
	push @wrong, "the next training fails: $err" if $rc != 0;
	return @wrong;
}

# ---------------------------------------------------------------- the moments

for my $i (1 .. $moments)
{
	my ($stage, $fault) = @{ $sample[ $i - 1 ] };
	my $model = "m$i";
	my $m = { issuances => $stage eq 'release' ? issuances() : 0 };
	my ($s, $down);

	if ($stage eq 'spill')
	{
		$s = fill_disk($fault, $model, $m);
	}
	else
	{
		$m->{gate} = take_gate($stage) if $stage =~ /^(?:reservation|chaining|release)$/;
		$s = caller_session($stage eq 'release' ? "SELECT dp_synthesize('steady', 3)" : train_sql($model));
		reach($stage, $s, $m);
		$m->{at} = sprintf('%.0f ms', 1000 * (time - $s->{begun}));
		$down = strike($fault, $s, $m);
	}
	if ($down && $down eq 'crash')
	{
		# the server takes note of it a moment later, and ends everybody
		for (my $end = time + 10; $control->query('SELECT 1') eq '1' && time < $end;) { sleep 0.01; }
	}
	let_pass($s, rand(0.03)) if $m->{gate};
	$m->{gate}->close if $m->{gate};
	if ($down)
	{
		$control->close;
		await_server();
		$control = session($node, undef);
	}
	$s->finish;
	my @wrong;
	push @wrong, 'a worker stays' unless until_gone(workers());
	push @wrong, $stage eq 'release' ? judge_release($m, $s) : judge_training($m, $s, $stage, $fault, $model);
	push @wrong, judge_all($i);
	my $told = join(', ', @{ look($s) });
	$s->close;
	unlink "$tiny/filler" if $tiny ne '';
	ok(!@wrong, "moment $i: $fault in stage $stage after $m->{at}")
	  or diag(join("\n", @wrong, "seed $seed; told: $told", $s->{out}, $s->{err}));
	$tally{$stage}{ $m->{struck} ? $m->{outcome} : 'missed' }++;
}

for my $stage (@stages, 'spill')
{
	my %t = %{ $tally{$stage} // {} };
	note(sprintf('%-12s %s', $stage, join(', ', map { "$_ $t{$_}" } sort keys %t)));
}
# Were the moments what they are said to be? All of these outcomes must occur.
my %outcomes;
for my $t (values %tally) { $outcomes{$_} += $t->{$_} for keys %$t; }
ok($outcomes{$_}, "some charges came out as $_: " . ($outcomes{$_} // 0))
  for $moments < @pairs ? () : qw(none reserved released spent issued);
cmp_ok($outcomes{missed} // 0, '<', $moments / 4, 'few came too late');

# ---------------------------------------------------------------- the rest of the budget

# What all of that has left can be spent, and not a hair more.
my $left = value($node, undef, "SELECT remaining FROM dp_budgets WHERE name = 'big'");
refused($node, undef, "SELECT dp_train('over', 'big', epsilon => $left * 1.001, columns => '{k}')",
	'54000', qr/no room/, 'more than what is left is refused');
can_train($node, undef, 'rest', 'big', 'what is left can be spent', epsilon => $left * 0.9999);
is(value($node, undef, "SELECT used <= 1 AND used > 0.99 FROM dp_budgets WHERE name = 'big'"), 't', 'and then it is');

$control->close;
note(sprintf('%d moments in %.0f s', $moments, time - $begun));
$node->stop;
done_testing();
