# Mirage.pm: what the TAP tests share: servers with the extension, calls as a role, sessions that stay open, and a gate
# that
# stops a training in the middle of its reading for as long as a test wants.
#
# No test sleeps for a fixed time to "let something happen": it polls for a state, or holds a lock until it is seen.
package Mirage;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use Test::More;

our @EXPORT = qw(new_node run_as value quietly refused session people make_gate hold_gate train_gated await
  charges audit_ok can_train k_of job_state worker_pid hint_of all_at_once code_of outcome slurp spit configure);

# PostgreSQL before 15 had other names for its modules: those tests are for later servers.
BEGIN
{
	eval {
		require PostgreSQL::Test::Cluster;
		require PostgreSQL::Test::Utils;
		1;
	} or plan(skip_all => 'PostgreSQL::Test::Cluster is not there (it came with PostgreSQL 15)');
}

our $GATE = 4711;

# Who is told to stop stops its servers, too: perl runs END blocks after exit, not after a signal.
$SIG{$_} = sub { exit 1 } for qw(HUP INT TERM);

# initdb takes a second of processor time. The first server of a test is a copy of a directory that the runner made with
# the same options; further ones are made by initdb, because what tells servers apart is the identifier that it draws.
if ($ENV{MIRAGE_TEMPLATE})
{
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	my $used;

	no warnings 'redefine';
	*PostgreSQL::Test::Utils::system_or_bail = sub {
		my ($program, @options) = @_;
		my $rest = "@options ";
		my $data = $rest =~ s/(?:-D|--pgdata) (\S+) // ? $1 : undef;

		$rest =~ s/(?:-A|--auth) trust |(?:-N|--no-sync) //g;
		return $run->(@_) if $program ne 'initdb' || !defined $data || $rest ne '' || $used++;
		return $run->('cp', '-RPp', $ENV{MIRAGE_TEMPLATE}, $data);
	};
}

# A running server with the extension in database postgres. The durability of charges is what several tests are about,
# so
# fsync stays on unless a test turns it off itself.
sub new_node
{
	my ($name, %o) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%{ $o{init} // {} });
	$node->append_conf('postgresql.conf', <<EOC);
fsync = on
max_worker_processes = 24
max_connections = 60
restart_after_crash = on
log_min_messages = log
EOC
	# what tests do in a minute is unusual: only who tests that has the limits on refused calls, and alerts
	$node->append_conf('postgresql.conf', "pg_mirage.max_failures = 0\npg_mirage.alerts = off\n") unless $o{watched};
	$node->append_conf('postgresql.conf', $o{conf}) if $o{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_mirage') unless $o{bare};
	return $node;
}

sub arguments
{
	my ($role, %o) = @_;
	return ('-v', 'VERBOSITY=verbose', ($role ? ('-U', $role) : ()), @{ $o{psql} // [] });
}

# (exit code, output, errors) of a script run by a role (undef: the superuser); database by db => ...
sub run_as
{
	my ($node, $role, $sql, %o) = @_;
	my ($out, $err) = ('', '');
	my $rc = $node->psql($o{db} // 'postgres', $sql,
		stdout => \$out, stderr => \$err, extra_params => [ arguments($role, %o) ], timeout => $o{timeout} // 180);

	return ($rc, $out, $err);
}

# The output of a script that must succeed.
sub value
{
	my ($node, $role, $sql, %o) = @_;
	my ($rc, $out, $err) = run_as($node, $role, $sql, %o);

	die "as " . ($role // 'superuser') . ": $sql\n$err" if $rc != 0;
	return $out;
}

# A test that a script succeeds; its output is returned.
sub quietly
{
	my ($node, $role, $sql, $name, %o) = @_;
	my ($rc, $out, $err) = run_as($node, $role, $sql, %o);

	ok($rc == 0, $name) or diag("$sql\n$out\n$err");
	return $out;
}

# A test that a script fails with this SQLSTATE and, where given, a message or hint that matches. Its errors are
# returned.
sub refused
{
	my ($node, $role, $sql, $state, $pattern, $name, %o) = @_;
	my ($rc, $out, $err) = run_as($node, $role, $sql, %o);
	my $good = $rc != 0 && $err =~ /(?:ERROR|FATAL):\s+$state:/ && (!defined $pattern || $err =~ $pattern);

	ok($good, $name) or diag("$sql\nexit code $rc, wanted $state" . (defined $pattern ? " "
		  . "$pattern" : '') . "\n$out\n$err");
	return $err;
}

sub hint_of
{
	my ($err) = @_;
	return $err =~ /^HINT:\s+(.*)$/m ? $1 : '';
}

# Polls a query (as superuser) until it gives what is wanted; false after a long while.
sub await
{
	my ($node, $sql, $want, %o) = @_;
	my $end = time + ($o{seconds} // 90);
	my $got;

	while (time < $end)
	{
		my ($rc, $out) = run_as($node, undef, $sql, %o);

		$got = $out;
		return 1 if $rc == 0 && $out eq ($want // 't');
		select(undef, undef, undef, 0.05);
	}
	diag("waited in vain for '" . ($want // 't') . "' from: $sql; last: " . ($got // ''));
	return 0;
}

# ---------------------------------------------------------------- files and settings

sub slurp { return PostgreSQL::Test::Utils::slurp_file($_[0]); }

# A new file, which nobody else can read.
sub spit
{
	my ($path, $text, $mode) = @_;

	unlink $path;
	open(my $f, '>:raw', $path) or die "$path: $!";
	print $f $text;
	close($f) or die "$path: $!";
	chmod($mode // 0600, $path) or die "$path: $!";
}

# Settings of the configuration file, in force for the sessions to come.
sub configure
{
	my ($node, %s) = @_;

	$node->append_conf('postgresql.conf', "pg_mirage.$_ = '$s{$_}'\n") for sort keys %s;
	$node->reload;
	await($node, "LOAD 'pg_mirage'; SHOW pg_mirage.$_", $s{$_}) or die "$_ did not become $s{$_}" for sort keys %s;
}

# A table of made-up people: n rows, mixed types, deterministic. `owner` owns it.
sub people
{
	my ($node, $table, $n, %o) = @_;

	value($node, $o{owner}, <<EOC, %o);
CREATE TABLE $table (
  id int PRIMARY KEY,
  age int NOT NULL CHECK (age BETWEEN 17 AND 90),
  sex text NOT NULL CHECK (sex IN ('Female', 'Male')),
  city text,
  member boolean NOT NULL
);
INSERT INTO $table
SELECT i, 17 + abs(hashint4(i)) % 74, CASE WHEN hashint4(i * 3) % 3 = 0 THEN 'Male' ELSE 'Female' END,
       (ARRAY['Graz', 'Linz', 'Wien', NULL])[1 + abs(hashint4(i * 5)) % 4], hashint4(i * 7) > 0
FROM generate_series(1, $n) i;
EOC
}

# ---------------------------------------------------------------- a gate

# A table, and a view over it whose rows can be read only while nobody holds the gate: an advisory lock. Only an
# administrator may
# protect with assert_stable, which such a view takes. Budget "gated" of `epsilon`.
sub make_gate
{
	my ($node, %o) = @_;
	my $epsilon = $o{epsilon} // 20;

	people($node, 'gated', $o{rows} // 500, db => $o{db});
	value($node, undef, <<EOC, db => $o{db});
CREATE VIEW gated_v AS SELECT age, sex, city, member FROM gated WHERE pg_advisory_xact_lock_shared($GATE) IS NOT NULL;
SELECT dp_protect('gated', epsilon => $epsilon);
SELECT dp_protect('gated_v', budget => 'gated', assert_stable => true);
EOC
}

sub hold_gate
{
	my ($node, %o) = @_;
	my $s = session($node, undef, %o);

	$s->query("SELECT pg_advisory_lock($GATE)");
	return $s;
}

# Starts a training that is stopped at the gate, and waits until it stands there; returns the job.
sub train_gated
{
	my ($node, $model, %o) = @_;
	my $epsilon = $o{epsilon} // 0.5;
	my $job = value($node, $o{role}, "SELECT dp_train('$model', 'gated_v', epsilon => $epsilon, wait => false)",
		db => $o{db});

	await_gated($node, %o);
	return $job;
}

sub await_gated
{
	my ($node, %o) = @_;
	my $workers = $o{workers} // 1;

	await($node, "SELECT count(*) >= $workers FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = "
		  . "'advisory' "
		  . "AND NOT l.granted AND l.objid = $GATE AND a.backend_type = 'pg_mirage training'")
	  or die 'no training came to the gate';
}

# ---------------------------------------------------------------- what the ledger must say

# "model:state, ..." of all charges of a budget, by number
sub charges
{
	my ($node, $budget, %o) = @_;
	return value($node, undef,
		"SELECT coalesce(string_agg(model || ':' || state, ', ' ORDER BY id), '') FROM dp_ledger WHERE budget = "
		  . "'$budget'", %o);
}

sub audit_ok
{
	my ($node, $name, %o) = @_;
	is(value($node, undef, 'SELECT ok, first_bad IS NULL FROM dp_verify_audit()', %o), 't|t', $name);
}

# A training that just works.
sub can_train
{
	my ($node, $role, $model, $relation, $name, %o) = @_;
	my $epsilon = $o{epsilon} // 0.25;

	quietly($node, $role, "SET client_min_messages = warning; SELECT dp_train('$model', '$relation', epsilon => "
		  . "$epsilon) > 0",
		$name, %o);
}

sub job_state
{
	my ($node, $job, %o) = @_;
	return value($node, undef, "SELECT state FROM dp_jobs WHERE id = $job", %o);
}

sub worker_pid
{
	my ($node, $job, %o) = @_;
	return value($node, undef, "SELECT pid FROM mirage.job WHERE id = $job", %o);
}

# How many trainings of `each` a fresh budget of `epsilon` takes: counted one after the other, on a table of its own.
sub k_of
{
	my ($node, $epsilon, $each, %o) = @_;
	my $k = 0;

	value($node, undef, "CREATE TABLE measure_k AS SELECT g % 3 = 0 AS a FROM generate_series(1, 50) g; "
		  . "SELECT dp_protect('measure_k', epsilon => $epsilon)", %o);
	while ($k < 1000)
	{
		my ($rc, undef, $err) = run_as($node, undef, "SELECT dp_train('measure_k_$k', 'measure_k', epsilon => $each)",
			%o);

		last if $rc != 0 && $err =~ /ERROR:\s+54000:/;
		die $err if $rc != 0;
		$k++;
	}
	return $k;
}

# ---------------------------------------------------------------- sessions that stay open

sub session
{
	my ($node, $role, %o) = @_;
	return Mirage::Session->new($node, $role, %o);
}

# Runs scripts in sessions of their own that a lock lets loose at once, so that none is done before the last has come;
# returns the sessions, which have ended what they did. $role: who runs them all, or a list of whom, in step.
sub all_at_once
{
	my ($node, $role, @sql) = @_;
	my @s = map { session($node, ref $role ? $role->[$_] : $role) } 0 .. $#sql;
	my $start = session($node, undef);

	$start->query('SELECT pg_advisory_lock(1)');
	$s[$_]->start("SELECT pg_advisory_lock_shared(1);\n$sql[$_]") for 0 .. $#sql;
	await($node, "SELECT count(*) FROM pg_locks WHERE NOT granted AND objid = 1 AND locktype = 'advisory'",
		scalar @sql);
	$start->query('SELECT pg_advisory_unlock(1)');
	$_->finish for @s;
	$start->close;
	return @s;
}

# How what a session did last ended: an SQLSTATE, or ok.
sub code_of
{
	my ($s) = @_;
	my ($code) = $s->err =~ /(?:ERROR|FATAL):\s+(\w{5}):/;

	return $code // 'ok';
}

# "code:number ..." of sessions, which it closes.
sub outcome
{
	my (@s) = @_;
	my %codes;

	$codes{ code_of($_) }++ for @s;
	$_->close for @s;
	return join(' ', map { "$_:$codes{$_}" } sort keys %codes);
}

package Mirage::Session;

use Test::More;

sub new
{
	my ($class, $node, $role, %o) = @_;
	my $self = bless { in => '', out => '', err => '', marks => 0 }, $class;
	my @command = ('psql', '-XAtq', '-d', $node->connstr($o{db} // 'postgres'),
		Mirage::arguments($role, %o), '-f', '-');
	local %ENV = $node->_get_env();

	$self->{run} = IPC::Run::start(\@command, '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		IPC::Run::timeout($o{timeout} // 180));
	$self->{pid} = $self->query('SELECT pg_backend_pid()');
	return $self;
}

# Sends a statement and does not wait. A session that has died is no error here.
sub start
{
	my ($self, $sql) = @_;

	$self->{marks}++;
	($self->{out}, $self->{err}) = ('', '');
	$self->{in} .= "$sql;\n\\echo -- mark $self->{marks}\n\\warn -- mark $self->{marks}\n";
	eval { $self->{run}->pump_nb; };
}

# Waits for the end of what was sent; its output. A session that dies meanwhile is no error here: see err.
sub finish
{
	my ($self) = @_;
	my $mark = "-- mark $self->{marks}\n";

	while ($self->{out} !~ /^\Q$mark\E/m || $self->{err} !~ /^\Q$mark\E/m)
	{
		last unless eval { $self->{run}->pump; 1 };
	}
	$self->{out} =~ s/\Q$mark\E//;
	$self->{err} =~ s/\Q$mark\E//;
	chomp(my $out = $self->{out});
	return $out;
}

sub query
{
	my ($self, $sql) = @_;

	$self->start($sql);
	return $self->finish;
}

sub err { return $_[0]->{err}; }
sub pid { return $_[0]->{pid}; }

# Did what was sent end with this SQLSTATE?
sub failed_with
{
	my ($self, $state, $pattern, $name) = @_;

	$self->finish;
	ok($self->{err} =~ /(?:ERROR|FATAL):\s+$state:/ && (!defined $pattern || $self->{err} =~ $pattern), $name)
	  or diag("wanted $state, got: $self->{out}\n$self->{err}");
}

sub close
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";
	eval { $self->{run}->finish; 1 };
}

1;
