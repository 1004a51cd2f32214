# Rotation of the master key: everything stays readable, whoever trains, releases and drops meanwhile, wherever it is
# killed; with files, with several databases, and with a command.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('rotate');
my $file = $node->data_dir . '/pg_mirage.key';
my $rows = "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 3)";

# "keys under the key in force, keys under others, is a rotation open"
sub state_of
{
	my (%o) = @_;
	return value($node, undef, 'SELECT coalesce(sum(keys) FILTER (WHERE in_force), 0) > 0, coalesce(sum(keys) FILTER '
		  . '(WHERE NOT in_force), 0), bool_or(rotating) FROM dp_keys', %o);
}

sub in_force { return value($node, undef, 'SELECT fingerprint FROM dp_keys WHERE in_force', @_); }
sub rotate { return quietly($node, undef, 'SET client_min_messages = warning; SELECT dp_rotate_key()', @_); }

# What must hold at any moment: rows of old models, new models, a log that verifies.
sub usable
{
	my ($what, %o) = @_;

	is(value($node, undef, $rows, %o), '3', "$what: rows");
	can_train($node, undef, "t" . value($node, undef, 'SELECT last_value FROM mirage.job_id', %o), 'folk',
		"$what: a training", epsilon => 0.05, %o);
	audit_ok($node, "$what: the log", %o);
}

people($node, 'folk', 300);
value($node, undef, "SELECT dp_protect('folk', epsilon => 50); SELECT dp_set_column('folk', 'id', kind => "
	  . "'identifier'); CREATE ROLE boss LOGIN IN ROLE mirage_admin; CREATE ROLE nobody LOGIN");
refused($node, undef, 'SELECT dp_rotate_key()', '55000', qr/no master key yet/, 'there is nothing to rotate yet');
can_train($node, undef, 'm', 'folk', 'a model');
value($node, undef, "SELECT dp_grant('m', 'nobody')");

my $with_seed = "SELECT md5(string_agg(t::text, ',')) FROM dp_synthesize_as(NULL::folk, 'm', 50, seed => 7) t";
my $seeded = value($node, undef, $with_seed);
my ($head) = value($node, undef, 'SELECT head FROM dp_verify_audit()');
my $columns = join(', ', map { "c$_" } 1 .. 10);
value($node, undef, 'CREATE TABLE wide AS SELECT ' . join(', ', map { "abs(hashint4(i * $_)) % 16 AS c$_" } 1 .. 10)
	  . " FROM generate_series(1, 3000) i; SELECT dp_protect('wide', epsilon => 30)");
can_train($node, undef, 'w', 'wide', 'a model with columns enough for a mark', epsilon => 10);
value($node, undef, "CREATE TABLE leaked AS SELECT * FROM dp_synthesize_as(NULL::wide, 'w', 3000)");
my $trace = "SELECT model, recipient, features, score, p_value < 1e-6 "
  . "FROM dp_trace('SELECT $columns FROM leaked', 'w')";
my $traced = value($node, undef, $trace);
my $receipt = value($node, undef, 'SELECT dp_receipt(max(id)) FROM mirage.issuance');
my $public = value($node, undef, 'SELECT dp_public_key()');
my @fingerprints = (in_force());
my %text = ($fingerprints[0] => slurp($file));

# ---------------------------------------------------------------- the plain case

refused($node, 'nobody', 'SELECT dp_rotate_key()', '42501', undef, 'not for everybody');
refused($node, 'nobody', 'SELECT * FROM dp_keys', '42501', undef, 'nor to look at');
my ($rc, $out, $err) = run_as($node, 'boss', 'BEGIN; SELECT dp_rotate_key(); ROLLBACK');
is($rc, 0, 'an administrator rotates') or diag($err);
like($err, qr/NOTICE.*Back the new key up/s, 'and is told to keep both');
push @fingerprints, in_force();
isnt($fingerprints[1], $fingerprints[0], 'the next key is in force, ROLLBACK or not');
like($out, qr/^$fingerprints[1]$/m, 'its fingerprint is returned');
is(state_of(), 't|0|f', 'no key is under the old one');
is(slurp("$file.$fingerprints[0]"), $text{ $fingerprints[0] }, 'the old key is kept under its fingerprint');
isnt(slurp($file), $text{ $fingerprints[0] }, 'the key file holds another');
is(sprintf('%04o', (stat $file)[2] & 07777), '0600', 'for the server alone');
ok(!-e "$file.new", 'nothing else is left');
is(value($node, undef, $with_seed), $seeded, 'a seed gives the same rows as before');
is(value($node, undef, "SELECT ok FROM dp_verify_audit('$head')"), 't', 'the log holds its old head');
is(value($node, undef, "SELECT string_agg(detail->>'state', ' ' ORDER BY id) FROM dp_audit_log WHERE action = "
	  . "'rotate key' AND role = 'boss'"), 'begun done', 'the log says who did it');
like($traced, qr/\|[a-z]+\|.*\|t$/m, 'rows that were given out before were traced to somebody');
is(value($node, undef, $trace), $traced, 'and are traced to the same, by the same signs');
is(value($node, undef, 'SELECT dp_public_key()'), $public, 'receipts have the same key');
is(value($node, undef, "SELECT dp_verify_receipt(\$r\$$receipt\$r\$)"), 't', 'and one from before is genuine');
usable('rotated');
unlink("$file.$fingerprints[0]");
usable('without the old key');

# What the site prepares is taken.
my $mine = '0123456789abcdef' x 4 . "\n";
spit("$file.new", $mine);
rotate('with a key that the site put there');
is(slurp($file), $mine, 'which is the key now');
push @fingerprints, in_force();
spit("$file.new", $mine);
refused($node, undef, 'SELECT dp_rotate_key()', '55000', qr/holds the key that is in force/, 'the same key is none');
spit("$file.new", "nonsense\n");
refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', qr/file of the next master key holds none/, 'nor is nonsense');
chmod(0644, "$file.new");
spit("$file.new", 'a' x 64);
chmod(0644, "$file.new");
refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', qr/file of the next master key holds none/,
	'nor what others can read');
unlink("$file.new");
is(in_force(), $fingerprints[2], 'nothing has changed');
is(state_of(), 't|0|f', 'nothing is open');
unlink("$file.$fingerprints[1]");

# ---------------------------------------------------------------- killed at each stage

# A lock stops the worker where it is; then it is killed as by the kernel, and the server starts again.
sub killed
{
	my ($what, $stop, $seen, $then) = @_;
	my $holder = session($node, undef);
	my $caller = session($node, undef);
	my $second;

	$holder->query("BEGIN; $stop");
	$caller->start('SELECT dp_rotate_key()');
	my $blocked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation' AND "
	  . "wait_event_type = 'Lock'";
	await($node, $blocked, 1) or die "$what: not reached";
	if ($then)
	{
		$second = session($node, undef);
		$second->query("BEGIN; $then");
		$holder->query('ROLLBACK');
		await($node, "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a "
			  . "USING (pid) WHERE NOT granted AND relname = 'key_rotation' AND backend_type = 'pg_mirage key "
			  . "rotation'", 1)
		  or die "$what: not reached in the end";
	}
	is(state_of(), $seen, "$what: this is where it stands");
	is(value($node, undef, $rows), '3', "$what: rows while it stands there");
	my $started = value($node, undef, 'SELECT pg_postmaster_start_time()');
	kill('KILL', value($node, undef, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation'"));
	eval { $caller->finish };
	$_->close for grep { defined } ($holder, $caller, $second);
	await($node, 'SELECT NOT pg_is_in_recovery()') or die;
	is(state_of(), $seen, "$what: and so it is after the crash");
}

# Stage 1: the next key is a file, and nothing is recorded. Stage 2: recorded; some keys are wrapped anew. Stage 3: all
# are, and the files are exchanged; the record is open.
my $one = "SELECT 1 FROM mirage.wrapped_key WHERE purpose = 'log' FOR UPDATE";
my $before = in_force();

killed('before the record', 'LOCK TABLE mirage.master_key IN ROW SHARE MODE', 't|0|f');
ok(-e "$file.new", 'the next key is there');
my $next = slurp("$file.new");
usable('before the record');
rotate('called again');
is(slurp($file), $next, 'the key that was made is taken');
is(state_of(), 't|0|f', 'and all is done');
usable('after that');

$before = in_force();
killed('between the keys', $one, 't|1|t');
my $target = in_force();
isnt($target, $before, 'the next key is in force');
isnt(slurp($file), slurp("$file.new"), 'while the files are what they were');
usable('between the keys');
is(value($node, undef, "SELECT keys > 0 FROM dp_keys WHERE fingerprint = '$target'"), 't',
	'a new model is under the next key');
rotate('called again');
is(in_force(), $target, 'the same key is taken');
is(state_of(), 't|0|f', 'and all is done');
ok(!-e "$file.new" && -e "$file.$before", 'the files too');
usable('after that');

$before = in_force();
killed('before the end', $one, 't|0|t', 'LOCK TABLE mirage.key_rotation IN SHARE MODE');
ok(!-e "$file.new" && -e "$file.$before", 'the files are exchanged');
usable('before the end');
$target = in_force();
rotate('called again');
is(in_force(), $target, 'the same key is taken');
is(state_of(), 't|0|f', 'and all is done');
is(value($node, undef, 'SELECT count(*) = count(finished_at) FROM mirage.key_rotation'), 't', 'no record is open');

# Between the two steps of the exchange of files, and where the folder cannot be written.
SKIP:
{
	my $folder = $node->basedir . '/keys';

	mkdir($folder, 0700) or die;
	spit("$folder/key", slurp($file));
	configure($node, master_key_file => "$folder/key");
	spit("$folder/key.new", 'c0ffee00' x 8 . "\n");
	chmod(0500, $folder);
	skip('the file system lets us write all the same', 18) if -w $folder;
	$before = in_force();
	refused($node, undef, 'SELECT dp_rotate_key()', '42501', qr/could not keep the old master key file/,
		'a folder that cannot be written');
	isnt(in_force(), $before, 'the keys are under the next key all the same');
	usable('half way');
	chmod(0700, $folder);
	link("$folder/key", "$folder/key.$before") or die;
	usable('half way through the files');
	rotate('mended, it goes on');
	is(slurp("$folder/key"), 'c0ffee00' x 8 . "\n", 'to its end');
	ok(!-e "$folder/key.new", 'the next key has taken its place');
	is(state_of(), 't|0|f', 'all is done');

	# a mounted secret, exchanged by the site
	$before = in_force();
	rename("$folder/key", "$folder/key.$before");
	spit("$folder/key", 'decade00' x 8 . "\n");
	chmod(0500, $folder);
	is(value($node, undef, $rows), '3', 'files that the site exchanged: the old key is found');
	rotate('and the new one taken, without a write');
	isnt(in_force(), $before, 'it is in force');
	is(state_of(), 't|0|f', 'all is done');
	chmod(0700, $folder);
}

# The next key is lost before anything was wrapped under it: another one is chosen. After: the site must bring it back.
{
	my $path = value($node, undef, "SHOW pg_mirage.master_key_file");

	$before = in_force();
	value($node, undef, "INSERT INTO mirage.key_rotation (old, new, role_name) VALUES ('$before', repeat('0', 32), "
		  . "'x')");
	refused($node, undef, "SELECT dp_train('x', 'folk', epsilon => 0.05)", 'F0000', qr/not the one of this database/,
		'nothing is trained while the key in force is not there');
	is(value($node, undef, $rows), '3', 'old models give rows');
	rotate('a key that was lost before it was used is passed over');
	is(state_of(), 't|0|f', 'another one takes its place');
	usable('after that');
	rename($path, "$path.away");
	unlink(glob("$path.$before"));
	refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', qr/could not open/,
		'without the old key there is no next');
	ok(!-e $path, 'and none is made');
	rename("$path.away", $path);
	usable('put back');
	unlink("$path.new");
}

# ---------------------------------------------------------------- two at once, and transactions in the way

{
	my $holder = session($node, undef);
	my $first = session($node, undef);

	$holder->query("BEGIN; $one");
	$first->start('SELECT dp_rotate_key()');
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation' AND "
		  . "wait_event_type = 'Lock'", 1);
	refused($node, undef, 'SELECT dp_rotate_key()', '55006', qr/rotated already/, 'one at a time');
	usable('while it waits');
	$holder->query('ROLLBACK');
	like($first->finish, qr/^[0-9a-f]{32}$/, 'the first comes to its end');

	# a cancel
	$holder->query("BEGIN; $one");
	$first->start("SET statement_timeout = '1s'; SELECT dp_rotate_key()");
	$first->failed_with('57014', undef, 'a rotation can be cancelled');
	$holder->query('ROLLBACK');
	usable('cancelled');
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation'", 0);
	rotate('and gone on with');
	is(state_of(), 't|0|f', 'to its end');

	# a training that has wrapped its key, and has not committed: the key in force stays until it has
	$holder->query('BEGIN; LOCK TABLE mirage.ledger IN SHARE MODE');
	my $training = session($node, undef);
	$training->start("SET client_min_messages = warning; SELECT dp_train('pinned', 'folk', epsilon => 0.05)");
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage training' AND "
		  . "wait_event_type = 'Lock'", 1);
	$first->start('SET statement_timeout = 0; SELECT dp_rotate_key()');
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation' AND "
		  . "wait_event_type = 'Lock'", 1);
	is(state_of(), 't|0|f', 'a rotation waits for a key that is being wrapped');
	is(value($node, undef, $rows), '3', 'rows are given all the while');
	$holder->query('ROLLBACK');
	$training->finish;
	unlike($training->err, qr/ERROR/, 'the training goes on');
	like($first->finish, qr/^[0-9a-f]{32}$/, 'and so does the rotation');
	is(state_of(), 't|0|f', 'which takes its key along');
	is(value($node, undef, "SELECT count(*) FROM dp_synthesize('pinned', 1) AS t(age int)"), '1',
		'the model gives rows');
	$training->close;

	# a model that is being dropped, by another and by the caller
	can_train($node, undef, 'd', 'folk', 'a model to drop', epsilon => 0.05);
	can_train($node, undef, 'e', 'folk', 'another', epsilon => 0.05);
	$holder->query("BEGIN; SELECT dp_drop_model('d')");
	$first->start("SET statement_timeout = 0; SELECT dp_rotate_key()");
	await($node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_mirage key rotation' AND "
		  . "wait_event_type = 'Lock'", 1);
	is(state_of(), 't|1|t', 'all keys but the one of a model that is being dropped');
	$holder->query('COMMIT');
	like($first->finish, qr/^[0-9a-f]{32}$/, 'it waits for that one only');
	is(state_of(), 't|0|f', 'which is gone');
	refused($node, undef, "BEGIN; SELECT dp_drop_model('e'); SELECT dp_rotate_key()", '55P03', qr/Commit or roll back/,
		'who drops one itself must commit first');
	rotate('and then can');
	is(value($node, undef, "SELECT count(*) FROM dp_synthesize('e', 1) AS t(age int)"), '1', 'the model is there');
	$_->close for ($holder, $first);
}

# A damaged key stops nobody.
value($node, undef, "UPDATE mirage.wrapped_key SET wrapped = set_byte(wrapped, 30, get_byte(wrapped, 30) # 1) WHERE "
	  . "purpose = 'model' AND model = (SELECT id FROM mirage.model WHERE name = 'e')");
rotate('a damaged key stops nobody');
is(state_of(), 't|1|f', 'it stays as it was');
is(value($node, undef, "SELECT detail->>'damaged' FROM dp_audit_log WHERE action = 'rotate key' ORDER BY id DESC LIMIT "
	  . "1"), '1', 'and is named in the log');
value($node, undef, "SELECT dp_drop_model('e')");

# ---------------------------------------------------------------- under load

{
	my @work = map { session($node, undef) } 1 .. 3;
	my $rotations = 0;
	my @failed;

	# a budget of its own, which lasts for so many rounds
	people($node, 'busy', 200);
	value($node, undef, "SELECT dp_protect('busy', epsilon => 10)");
	for my $end (time + 12)
	{
		$work[0]->start("SET client_min_messages = warning; SELECT dp_train('l$rotations', 'busy', epsilon => 0.01, "
			  . "method => 'independent'); SELECT dp_drop_model('l" . ($rotations - 3) . "') WHERE $rotations >= 3");
		$work[1]->start("$rows; $rows; $rows");
		$work[2]->start('SELECT dp_rotate_key()');
		$_->finish for @work;
		push @failed, grep { /ERROR|FATAL/ } map { $_->err } @work;
		$rotations++;
		redo if $rotations < 60 && (time < $end || $rotations < 5);
	}
	is(scalar @failed, 0, "trainings, rows and drops beside $rotations rotations: none fails") or diag(@failed);
	is(state_of(), 't|0|f', 'no key is left behind');
	is(value($node, undef, "SELECT count(*) FROM mirage.model m LEFT JOIN mirage.wrapped_key w ON w.model = m.id AND "
		  . "w.purpose = 'model' WHERE w.id IS NULL"), '0', 'none is lost');
	is(value($node, undef, "SELECT count(*) FROM mirage.wrapped_key w LEFT JOIN mirage.model m ON w.model = m.id WHERE "
		  . "w.purpose = 'model' AND m.id IS NULL"), '0', 'none is left of a model that is gone');
	value($node, undef, "SELECT dp_synthesize('$_', 1)")
	  for split(/\n/, value($node, undef, 'SELECT name FROM mirage.model'));
	audit_ok($node, 'every model gives rows, and the log is whole');
	$_->close for @work;
}

# A training that stands in the middle when the key is rotated.
make_gate($node);
{
	my $gate = hold_gate($node);
	my $job = train_gated($node, 'g');

	rotate('while a training reads');
	$gate->close;
	await($node, "SELECT state FROM dp_jobs WHERE id = $job", 'done');
	is(value($node, undef, "SELECT count(*) FROM dp_synthesize('g', 2) AS t(age int)"), '2', 'its model gives rows');
}

# ---------------------------------------------------------------- several databases

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pg_mirage');
people($node, 'folk', 300, db => 'other');
value($node, undef, "SELECT dp_protect('folk', epsilon => 20); SELECT dp_set_column('folk', 'id', kind => "
	  . "'identifier')", db => 'other');
can_train($node, undef, 'm', 'folk', 'a model in another database', db => 'other');
is(in_force(db => 'other'), in_force(), 'under the same key');
my $old = in_force();
rotate('the first database rotates');
is(in_force(db => 'other'), $old, 'the other keeps its key');
usable('in the other', db => 'other');
rotate('the other follows', db => 'other');
is(in_force(db => 'other'), in_force(), 'to the same key: none is made');

# The first is killed in the middle, and the other rotates before it goes on: both come to the same key.
killed('between the keys of one of two databases', $one, 't|1|t');
rotate('the other is next', db => 'other');
is(in_force(db => 'other'), in_force(), 'it takes the key that is under way');
is(state_of(db => 'other'), 't|0|f', 'to its end');
is(state_of(), 't|1|t', 'the first is where it was');
usable('the first', db => 'postgres');
rotate('the first goes on');
is(in_force(db => 'other'), in_force(), 'to the same key');
is(state_of(), 't|0|f', 'to its end');
{
	my $path = value($node, undef, "SHOW pg_mirage.master_key_file");

	unlink(grep { !/\.new$/ } glob("$path.*"));
	is(join(' ', glob("$path*")), $path, 'then no other key is needed');
	usable('the one', db => 'postgres');
	usable('the other', db => 'other');

	# and where it was too late: it says which key it wants
	$old = in_force();
	rotate('once more');
	rename("$path.$old", $node->basedir . '/kept');
	$err = refused($node, undef, $rows, 'F0000', qr/not the one of this database/,
		'where the old key is taken away too early', db => 'other');
	like(hint_of($err), qr/fingerprint $old/, 'it is named');
	refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', qr/not the one of this database/, 'also when it follows',
		db => 'other');
	rename($node->basedir . '/kept', "$path.$old");
	rotate('brought back, it follows', db => 'other');
	unlink("$path.$old");
	usable('then', db => 'other');

	# a dump from before, in another database
	$text{was} = slurp($path);
	$text{print} = in_force();
}

# ---------------------------------------------------------------- dump and restore

$node->safe_psql('postgres', 'CREATE DATABASE copy');
{
	my $dump = $node->basedir . '/dump';

	system('pg_dump', '-f', $dump, '-d', $node->connstr('postgres')) == 0 or die;
	$node->psql('copy', "\\i $dump", on_error_stop => 0);
	is(in_force(db => 'copy'), in_force(), 'a restored database knows its key');
	is(value($node, undef, 'SELECT count(*) FROM (SELECT * FROM mirage.key_rotation) r', db => 'copy'),
		value($node, undef, 'SELECT count(*) FROM mirage.key_rotation'), 'and its rotations');
	is(value($node, undef, "SELECT count(*) FROM dp_synthesize('m', 2) AS t(age int)", db => 'copy'), '2',
		'its models give rows');
	spit(value($node, undef, 'SHOW pg_mirage.master_key_file') . '.new', 'abcdef99' x 8 . "\n");
	rotate('it is rotated by itself', db => 'copy');
	is(state_of(db => 'copy'), 't|0|f', 'to its end');
	$node->safe_psql('postgres', 'DROP DATABASE copy');
	rotate('the first follows');
	rotate('and the other', db => 'other');
	$text{was} = slurp(value($node, undef, 'SHOW pg_mirage.master_key_file'));
	$text{print} = in_force();
}

# ---------------------------------------------------------------- a command

{
	my $keys = $node->basedir . '/kms';
	my $path = value($node, undef, "SHOW pg_mirage.master_key_file");

	mkdir($keys, 0700) or die;
	spit("$keys/$text{print}", $text{was});
	spit("$keys/current", $text{was});
	configure($node, master_key_command => qq{cat $keys/"\${PG_MIRAGE_KEY_FINGERPRINT:-current}"});
	unlink($path, glob("$path.*"));
	usable('by a command');
	refused($node, undef, 'SELECT dp_rotate_key()', '55000', qr/gives the key that is in force/,
		'the site must change the key first');
	spit("$keys/current", 'feedface' x 8 . "\n");
	usable('changed, but not rotated');
	rename("$keys/$text{print}", "$keys/away");
	refused($node, undef, 'SELECT dp_rotate_key()', 'F0000', qr/master key command failed/,
		'a command that has no old key any more');
	is(in_force(), $text{print}, 'changes nothing');
	rename("$keys/away", "$keys/$text{print}");

	# by now the fingerprint of the new key is not known to the test: the command is asked for it by the server
	my $wanted = "$keys/wanted";
	configure($node, master_key_command => qq{echo "\$PG_MIRAGE_KEY_FINGERPRINT" >>$wanted; cat }
		  . qq{$keys/"\${PG_MIRAGE_KEY_FINGERPRINT:-current}" 2>/dev/null || cat $keys/current});
	rotate('a command that gives the old and the new key');
	isnt(in_force(), $text{print}, 'another key is in force');
	my @asked = split(/\n/, slurp($wanted));
	is(scalar @asked, 2, 'it is asked twice');
	is("$asked[0],$asked[1]", ",$text{print}", 'for the new key, and for the old one by its fingerprint');
	unlink("$keys/$text{print}");
	is(state_of(), 't|0|f', 'all is done');
	usable('rotated by a command');
	ok(!-e $path && !glob("$path.*"), 'no file is made');
}

$node->stop;
done_testing();
