# The master key command: bounded in time and output, killed with its children, run as seldom as can be; its failure
# closes what needs the key and nothing else. And the key is nowhere to be seen.
use strict;
use warnings;

use Mirage;
use Test::More;
use Time::HiRes ();

my $node = new_node('command', conf => "pg_mirage.worker_linger = 0\n");
my $base = $node->basedir;
my $key = '5ec2e7' . 'd00d' x 14 . 'ab';
my $count = "$base/count";
my $rows = "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 3)";

# Empty where there is none.
sub text_of
{
	open(my $f, '<', $_[0]) or return '';
	local $/;
	return scalar(<$f>) // '';
}

# A script is the command; what it does is changed without a reload.
sub behave
{
	spit("$base/script", "echo x >>$count\n$_[0]\n");
}

sub counted
{
	my ($what) = @_;

	unlink($count);
	$what->();
	return length(text_of($count)) / 2;
}

# Processes whose command line holds a word.
sub processes
{
	my ($word) = @_;
	my @found;

	for my $file (glob('/proc/[0-9]*/cmdline'))
	{
		my ($pid) = $file =~ m{/proc/(\d+)/};
		push @found, $pid if $pid != $$ && text_of($file) =~ /\Q$word\E/;
	}
	return @found;
}

sub gone
{
	my ($word, $name) = @_;

	for (1 .. 100)
	{
		last unless processes($word);
		select(undef, undef, undef, 0.05);
	}
	is(scalar processes($word), 0, $name);
}

# Seconds that nobody else's sleep has: by them our processes are known.
my $long = "4711.$$";
my $proc = -d '/proc/self/fd';
my $good = "printf %s $key";

behave($good);
configure($node, master_key_command => "exec sh $base/script", master_key_timeout => '5s');
people($node, 'folk', 300);
value($node, undef, "SELECT dp_protect('folk', epsilon => 30); SELECT dp_set_column('folk', 'id', kind => "
	  . "'identifier')");

# ---------------------------------------------------------------- how often it is run

# A worker chains the log after its call has been answered: nothing is open and none is there any more.
sub quiet
{
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_mirage%'", 0) or die;
}

is(counted(sub { can_train($node, undef, 'm', 'folk', 'a first training'); quiet() }), 2,
	'runs it twice: before it reads, and to chain the log at its end');
is(counted(sub { can_train($node, undef, 'm2', 'folk', 'another'); quiet() }), 2, 'likewise');
value($node, undef, $rows); # the first to a recipient records it, in a worker of its own
quiet();
is(counted(sub { value($node, undef, $rows); quiet() }), 2, 'a release runs it once, and its worker once');
my $prepared = session($node, undef);
is(counted(sub { $prepared->query("BEGIN; $rows; $rows; COMMIT"); quiet() }), 4,
	'two statements of a transaction read it twice: nothing is kept between them');
# A worker that lingers keeps nothing while it idles: it asks again for the next release, and to chain the log.
configure($node, worker_linger => '2s');
my $chained = 'SELECT bool_and(block IS NOT NULL) FROM dp_audit_log';
my $stayed;
is( counted(sub {
			$prepared->query($rows);
			await($node, $chained) or die;
			$stayed = value($node, undef,
				"SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = 'pg_mirage release'");
			$prepared->query($rows);
			await($node, $chained) or die;
			like(value($node, undef, "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type = "
					  . "'pg_mirage release'"), qr/\b$stayed\b/, 'two releases by one worker');
			quiet();
		}), 6, 'of which each runs it for itself, and each chaining');
configure($node, worker_linger => '0');
$prepared->close;
is(counted(sub { value($node, undef, 'SELECT * FROM dp_verify_audit()') }), 1, 'verification of the log runs it once');
is(counted(sub { value($node, undef, "SELECT dp_verify_receipt(dp_receipt(1))") }), 0, 'a receipt is signed already');
is(counted(sub { value($node, undef, "SELECT dp_grant('m', 'pg_read_all_data'); SELECT dp_revoke('m', "
			  . "'pg_read_all_data'); SELECT * "
		  . "FROM dp_models, dp_ledger, "
		  . "dp_keys; SELECT dp_plan('folk')") }), 0, 'what needs no key runs it never');

# ---------------------------------------------------------------- what it may not do

my $state = 'SELECT (SELECT count(*) FROM mirage.ledger), (SELECT count(*) FROM mirage.job), (SELECT count(*) FROM '
  . 'mirage.issuance), (SELECT count(*) FROM mirage.model), (SELECT count(*) FROM mirage.wrapped_key)';
my $before = value($node, undef, $state);

# Everything that needs the key is refused, and what does not goes on.
sub closed
{
	my ($what, $pattern) = @_;

	refused($node, undef, "SELECT dp_train('x', 'folk', epsilon => 0.1)", 'F0000', $pattern, "$what: no training");
	my $err = refused($node, undef, $rows, 'F0000', $pattern, "$what: no rows");
	refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', undef, "$what: no rotation");
	refused($node, undef, "SELECT * FROM dp_trace('SELECT age, sex, city, member FROM folk')", 'F0000', $pattern,
		"$what: no tracing");
	refused($node, undef, 'SELECT dp_audit_head()', 'F0000', $pattern, "$what: no signed head");
	unlike($err, qr/\Q$key\E|secret words/, "$what: nothing of it is shown");
	is(value($node, undef, $state), $before, "$what: nothing was written or charged");
	is(value($node, undef, 'SELECT ok FROM dp_verify_audit()'), 't', "$what: the log can be verified");
	quietly($node, undef, "SELECT name FROM dp_models; SELECT count(*) FROM dp_plan('folk'); SELECT "
		  . "dp_verify_receipt(dp_receipt(1)); SELECT dp_grant('m', "
		  . "'pg_read_all_data'); SELECT dp_revoke('m', 'pg_read_all_data')",
		"$what: what needs no key goes on");
}

my $answers = "echo secret words >&2";
behave("$answers; exit 3");
closed('it fails', qr/failed: .*exit code 3/);
behave("$answers; $good; exit 1");
closed('it prints the key and fails', qr/failed: .*exit code 1/);
behave('echo secret words');
closed('it prints something else', qr/did not print a key/);
behave("$good; $good");
closed('it prints two', qr/did not print a key/);
behave('exec cat /dev/zero');
closed('it prints without end', qr/did not print a key/);
behave('kill -SEGV $$');
closed('it dies of a signal', qr/failed: .*signal 11/);
configure($node, master_key_timeout => '300ms');
behave("sleep ${long}1 & echo secret words >&2; sleep ${long}2");
my $began = Time::HiRes::time();
refused($node, undef, $rows, 'F0000', qr/did not end within 300 ms.*master_key_timeout/s, 'it hangs');
cmp_ok(Time::HiRes::time() - $began, '<', 30, 'and does not hold the call');
SKIP:
{
	skip('no /proc', 1) unless $proc;
	gone($long, 'it is killed with its children');
}
closed('it hangs', qr/did not end within 300 ms/);
behave("$good; exec >&-; sleep ${long}3");
closed('it gives the key, closes its output and hangs', qr/did not end within 300 ms/);
behave("trap '' TERM INT HUP; exec sleep ${long}4");
closed('it does not listen to signals', qr/did not end within 300 ms/);

# A killed session takes it along.
configure($node, master_key_timeout => '100s');
behave('echo $$ >' . "$base/pid; sleep ${long}5");
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	my $s = session($node, undef);

	unlink("$base/pid");
	$s->start($rows);
	select(undef, undef, undef, 0.02) until -s "$base/pid";
	value($node, undef, "SELECT $how(" . $s->pid . ')');
	$s->failed_with($how eq 'pg_cancel_backend' ? '57014' : '57P01', undef, "$how while it runs");
	SKIP:
	{
		skip('no /proc', 1) unless $proc;
		gone("${long}5", "$how: it is killed");
	}
	$s->close;
}
refused($node, undef, "SET statement_timeout = '300ms'; $rows", '57014', undef, 'a statement_timeout ends it');
{
	my $s = session($node, undef);

	unlink("$base/pid");
	$s->start("SELECT dp_train('x', 'folk', epsilon => 0.1)");
	select(undef, undef, undef, 0.02) until -s "$base/pid";
	value($node, undef, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	$s->failed_with('57014', undef, 'a training that waits for it can be cancelled');
	SKIP:
	{
		skip('no /proc', 1) unless $proc;
		gone("${long}5", 'with it');
	}
	$s->close;
	quiet();
	is(value($node, undef, $state), $before, 'nothing was charged');
}

# It is given nothing of the server's: no descriptor, no ignored signal; its background children end with it.
SKIP:
{
	skip('no /proc', 3) unless $proc;
	configure($node, master_key_timeout => '5s');
	behave("(cd /proc/\$\$/fd && for f in *; do readlink \$f; done) >$base/fds 2>/dev/null; grep SigIgn "
		  . "/proc/\$\$/status >$base/ignored; (sleep ${long}6 &) ; $good");
	is(value($node, undef, $rows), '3', 'a command that looks around, and leaves a child behind');
	my @strange = grep { !m{^/dev/null$|^pipe:|/script$} } split(/\n/, text_of("$base/fds"));
	is("@strange", '', 'sees no file or socket of the server');
	# 32 and 33 are the C library's own: whoever inherits them ignored cannot change that
	my ($ignored) = text_of("$base/ignored") =~ /SigIgn:\s+([0-9a-f]+)$/m;
	is(hex(substr($ignored // 'f', -8)) & 0x7fffffff, 0, 'ignores no signal');
	quiet();
	gone("${long}6", 'the child that it left is gone');
}

# ---------------------------------------------------------------- nothing stays behind

SKIP:
{
	skip('no /proc', 3) unless $proc;
	configure($node, master_key_timeout => '200ms');
	my $s = session($node, undef);
	my $fds = sub { return scalar(() = glob('/proc/' . $s->pid . '/fd/*')) };
	my @behaviours = ('exit 1', 'exec cat /dev/zero', "sleep ${long}7", 'echo no', $good);

	# the first rounds open what stays open
	my $round = sub {
		for my $b (@behaviours)
		{
			behave($b);
			$s->query($rows);
		}
	};
	$round->() for 1 .. 2;
	my $open = $fds->();
	$round->() for 1 .. 12;
	is($fds->(), $open, '60 calls, most of them failing: no descriptor is left open');
	my $children = text_of('/proc/' . $s->pid . '/task/' . $s->pid . '/children');
	is($children, '', 'no child is left, and no zombie');
	is($s->query($rows), '3', 'and all is well');
	$s->close;
	gone($long, 'nothing runs any more');
}

# The key is gone when the training is nearly done: what was paid for is kept.
{
	my $flag = "$base/out";

	configure($node, master_key_timeout => '5s');
	behave("test -e $flag && exit 9; $good");
	make_gate($node);
	my $gate = hold_gate($node);
	my $job = train_gated($node, 'late');

	spit($flag, '');
	$gate->close;
	await($node, "SELECT state FROM dp_jobs WHERE id = $job", 'done');
	quiet();
	like(text_of($node->logfile), qr/audit log was not chained: the master key command failed/,
		'a key that fails in the end costs no model');
	refused($node, undef, "SELECT dp_synthesize('late', 1)", 'F0000', undef, 'though it gives no rows now');

	# nor does one that fails while a training fails cost the charge
	unlink($flag);
	$gate = hold_gate($node);
	$job = train_gated($node, 'cut');
	spit($flag, '');
	value($node, undef, "SELECT dp_cancel($job)");
	await($node, "SELECT state FROM dp_jobs WHERE id = $job", 'cancelled');
	is(value($node, undef, "SELECT state FROM dp_ledger WHERE job = $job"), 'spent', 'a failure is settled without it');
	is(value($node, undef, "SELECT count(*) FROM mirage.wrapped_key w WHERE purpose = 'model' AND NOT "
			  . "EXISTS (SELECT FROM "
		  . "mirage.model m WHERE m.id = w.model)"), '0', 'the key of a model that never came to be is gone');
	$gate->close;
	unlink($flag);
	is(value($node, undef, "SELECT count(*) FROM dp_synthesize('late', 2) AS t(age int)"), '2',
		'the key is back, and so are the rows');
	quiet();
	is(value($node, undef, 'SELECT count(*) FROM dp_audit_log WHERE block IS NULL'), '0', 'the log is chained again');
	audit_ok($node, 'and whole');
}

# ---------------------------------------------------------------- where the key must not be

{
	behave("set -x; $good");
	value($node, undef, "$rows; $rows");
	can_train($node, undef, 'last', 'folk', 'with a command that shows what it does');
	quiet();
	my $raw = pack('H*', $key);
	my %places = (
		'the server log' => text_of($node->logfile),
		'pg_settings' => value($node, undef, "LOAD 'pg_mirage'; SELECT string_agg(s::text, ' ') FROM pg_settings s"),
		'pg_stat_activity' => value($node, undef, "SELECT string_agg(s::text, ' ') FROM pg_stat_activity s"),
	);
	my $dump = "$base/dump";

	system('pg_dump', '-f', $dump, '-d', $node->connstr('postgres')) == 0 or die;
	$places{'a dump'} = text_of($dump);
	# bytea in a dump is hexadecimal: the search for digits covers the raw bytes, too
	for my $place (sort keys %places)
	{
		ok(length($places{$place}) > 0 && index(lc $places{$place}, $key) < 0 && index($places{$place}, $raw) < 0,
			"the key is not in $place");
	}
	my $found = 0;

	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->stop;
	for my $folder ('base', 'global', 'pg_wal')
	{
		for my $file (split(/\0/, `find '${\ $node->data_dir}/$folder' -type f -print0`))
		{
			my $bytes = text_of($file);
			$found++ if index($bytes, $raw) >= 0 || index($bytes, $key) >= 0;
		}
	}
	is($found, 0, 'nor in any file of the data directory');
}

done_testing();
