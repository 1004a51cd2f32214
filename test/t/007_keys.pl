# Keys and tampering: what is sealed opens with the right key only, everything else fails closed, and a rewritten log
# is seen.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('keys');
my $file = $node->data_dir . '/pg_mirage.key';

value($node, undef, 'CREATE ROLE owner LOGIN; GRANT CREATE ON SCHEMA public TO owner');
people($node, 'folk', 1000, owner => 'owner');

# ---------------------------------------------------------------- the file that is made

ok(!-e $file, 'there is no key before it is needed');
value($node, 'owner', "SELECT dp_protect('folk', epsilon => 50)");
can_train($node, 'owner', 'm', 'folk', 'the first training');
ok(-e $file, 'makes one');
is(sprintf('%04o', (stat $file)[2] & 07777), '0600', 'that nobody else can read');
my $key = slurp($file);
like($key, qr/\A[0-9a-f]{64}\n\z/, 'of 256 bits');
is(value($node, undef, "SELECT count(*) FROM mirage.master_key"), '1', 'its fingerprint is recorded');
is(value($node, undef, "SELECT count(*) FROM mirage.wrapped_key WHERE position(decode('" . substr($key, 0,
	64) . "', 'hex') IN wrapped) > 0"),
	'0', 'the key itself is nowhere');
# (a number of the log that nobody will use: its transaction is rolled back)
value($node, 'owner', "BEGIN; SELECT dp_create_budget('never', 1); ROLLBACK");
my $unused = value($node, undef, 'SELECT last_value FROM mirage.log_id');
can_train($node, 'owner', 'm2', 'folk', 'another training');
is(slurp($file), $key, 'takes the same');

# ---------------------------------------------------------------- without it

my $state = 'SELECT (SELECT count(*) FROM mirage.ledger), (SELECT count(*) FROM mirage.job), (SELECT count(*) FROM '
	  . 'mirage.issuance), '
  . '(SELECT count(*) FROM mirage.model), (SELECT count(*) FROM mirage.log)';
value($node, 'owner', "SELECT dp_synthesize('m', 1)"); # whose first release is an entry of its own
my $before = value($node, undef, $state);

sub closed
{
	my ($what, $pattern, $hint) = @_;
	my $err = refused($node, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.2)", 'F0000', $pattern,
		"$what: no training");

	like(hint_of($err), $hint, "$what: with a hint");
	refused($node, 'owner', "SELECT dp_synthesize('m', 1)", 'F0000', $pattern, "$what: no rows");
	unlike($err, qr/[0-9a-f]{64}/, "$what: no key is shown");
	is(value($node, undef, $state), $before, "$what: nothing was written");
}

unlink $file;
closed('no file', qr/could not open/, qr/Put the key file back/);
ok(!-e $file, 'and none is made anew');
spit($file, 'f' x 64 . "\n");
closed('another key', qr/not the one of this database/, qr/fingerprint/);
spit($file, "nonsense\n");
closed('nonsense', qr/does not hold 64 hexadecimal digits/, qr/right key file/);
spit($file, '');
closed('an empty file', qr/does not hold 64 hexadecimal digits/, qr/right key file/);
spit($file, substr($key, 0, 60));
closed('a short key', qr/does not hold 64 hexadecimal digits/, qr/right key file/);
spit($file, $key, 0640);
closed('a file for the group', qr/can be accessed by others/, qr/0600/);
is(value($node, undef, 'SELECT ok FROM dp_verify_audit()'), 't',
	'the log can be verified without a key, by the recorded public key');
spit($file, $key);
is(value($node, 'owner', "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)"), '5', 'put back, all is well');

# ---------------------------------------------------------------- elsewhere, and by a command

my $other = $node->basedir . '/elsewhere.key';
rename($file, $other) or die;
configure($node, master_key_file => $other);
ok(await($node, "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)", 5),
	'a key file outside of the data directory');
refused($node, 'owner', "SET pg_mirage.master_key_file = '/dev/null'; SELECT count(*) FROM dp_synthesize('m', 1) AS "
	  . "t(age int); "
	  . "SHOW pg_mirage.master_key_file", '42501', undef, 'nor to see');

$before = value($node, undef, $state);
configure($node, master_key_command => "cat $other");
ok(await($node, "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)", 5), 'a command that prints the key');
can_train($node, 'owner', 'm3', 'folk', 'also for a training');
$before = value($node, undef, $state);
my %bad = (
	'exit 3' => qr/master key command failed: .*exit code 3/,
	'echo nothing of the kind' => qr/did not print a key/,
	'true' => qr/did not print a key/,
	"cat $other $other" => qr/did not print a key/,
	"cat $other; exit 1" => qr/failed: .*exit code 1/,
	'no_such_command_at_all' => qr/failed: .*(command not found|exit code 127)/,
	'echo ' . 'a' x 64 => qr/not the one of this database/,
);
for my $command (sort keys %bad)
{
	configure($node, master_key_command => $command);
	closed("command: $command", $bad{$command}, qr/64 hexadecimal digits|fingerprint/);
}
rename($other, $file) or die;
configure($node, master_key_command => '', master_key_file => 'pg_mirage.key');
ok(await($node, "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)", 5), 'back to the file');

# ---------------------------------------------------------------- damage

sub flip
{
	my ($table, $column, $where, $offset) = @_;

	value($node, undef, "UPDATE mirage.$table SET $column = set_byte($column, $offset, get_byte($column, $offset) # "
		  . "1) WHERE $where");
}
my ($m, $m2) = split(/\n/, value($node, undef, "SELECT id FROM mirage.model WHERE name IN ('m', 'm2') ORDER BY name"));
my $size = value($node, undef, "SELECT length(sealed) FROM mirage.model_blob WHERE model = $m");
for my $offset (0, 12, int($size / 2), $size - 1)
{
	flip('model_blob', 'sealed', "model = $m", $offset);
	refused($node, 'owner', "SELECT dp_synthesize('m', 1)", 'XX001', qr/HINT.*model_blob/s,
		"byte $offset of a model is flipped");
	flip('model_blob', 'sealed', "model = $m", $offset);
}
for my $cut (0, 5, 27, $size - 1)
{
	refused($node, undef, "BEGIN; UPDATE mirage.model_blob SET sealed = substr(sealed, 1, $cut) WHERE model = $m; "
		  . "SELECT dp_synthesize('m', 1)", 'XX001', undef, "a model of $cut bytes");
}
refused($node, undef, "BEGIN; UPDATE mirage.model_blob SET sealed = (SELECT sealed FROM mirage.model_blob WHERE "
	  . "model = $m2) "
	  . "WHERE model = $m; SELECT dp_synthesize('m', 1)", 'XX001', undef, 'another model\'s parameters');
refused($node, undef, "BEGIN; UPDATE mirage.wrapped_key SET wrapped = (SELECT wrapped FROM mirage.wrapped_key WHERE "
	  . "model = $m2) "
	  . "WHERE model = $m; SELECT dp_synthesize('m', 1)", 'XX001', qr/wrapped key/, 'another model\'s key');
refused($node, undef, "BEGIN; DELETE FROM mirage.wrapped_key WHERE model = $m; SELECT dp_synthesize('m', 1)", 'XX001',
	undef, 'no key');
refused($node, undef, "BEGIN; DELETE FROM mirage.model_blob WHERE model = $m; SELECT dp_synthesize('m', 1)", 'XX001',
	undef, 'no model');
flip('wrapped_key', 'wrapped', "model = $m", 40);
refused($node, 'owner', "SELECT dp_synthesize('m', 1)", 'XX001', undef, 'a wrapped key is damaged');
flip('wrapped_key', 'wrapped', "model = $m", 40);
is(value($node, 'owner', "SELECT count(*) FROM dp_synthesize('m', 5) AS t(age int)"), '5', 'mended, it gives rows');
is(value($node, undef, "SELECT pg_postmaster_start_time() < now() - interval '1 second' AND count(*) = 0 FROM "
	  . "pg_stat_activity "
	  . "WHERE backend_type LIKE 'pg_mirage%' AND state <> 'idle'"), 't', 'nothing crashed, nothing stays running');

# ---------------------------------------------------------------- a log that somebody rewrites by force

my $check = 'SELECT ok, first_bad FROM dp_verify_audit()';
my ($entries, $head) = split(/\|/, value($node, undef, 'SELECT entries, head FROM dp_verify_audit()'));
is($entries, value($node, undef, 'SELECT count(*) FROM mirage.log'), 'every entry is seen');
my ($some, $next) = split(/\n/, value($node, undef, "SELECT id FROM mirage.log WHERE action = 'charge' ORDER BY id "
	  . "LIMIT 2"));

# An entry that does not fit spoils its block: the first entry of that is what is named.
my $first = value($node, undef, "SELECT min(e) FROM mirage.log_block, unnest(entries) e WHERE $some = ANY (entries)");
my $second = value($node, undef, "SELECT min(e) FROM mirage.log_block, unnest(entries) e WHERE $next = ANY (entries)");

# Each deed is done in a transaction, judged, and undone.
sub forced
{
	my ($deed, $want, $name) = @_;
	my $out = value($node, undef, "BEGIN; ALTER TABLE mirage.log DISABLE TRIGGER ALL; ALTER TABLE mirage.log_block "
		  . "DISABLE TRIGGER ALL; "
		  . "$deed; $check; ROLLBACK");

	is((split(/\n/, $out))[-1], $want, $name);
}

forced("UPDATE mirage.log SET detail = jsonb_set(detail, '{epsilon}', '0.001') WHERE id = $some", "f|$first",
	'an entry is changed');
forced("UPDATE mirage.log SET role_name = 'somebody' WHERE id = $next", "f|$second", 'a name is changed');
forced("UPDATE mirage.log SET at = at - interval '1 day' WHERE id = $some", "f|$first", 'a time is changed');
forced("DELETE FROM mirage.log WHERE id = $some", "f|$first", 'an entry is gone');
forced("UPDATE mirage.log SET id = -id WHERE id = $some", "f|$first", 'an entry is numbered anew');
forced("DELETE FROM mirage.log WHERE id = $some; INSERT INTO mirage.log (id, role_name, session_role, action, "
	  . "object) VALUES "
	  . "($some, 'owner', 'owner', 'charge', 'x')", "f|$first", 'an entry is exchanged');
forced("INSERT INTO mirage.log (id, role_name, session_role, action, object) VALUES ($unused, 'owner', 'owner', "
	  . "'charge', 'x')",
	"f|$unused",
	'an entry is slipped in');
forced('DELETE FROM mirage.log_block WHERE number = 1',
	'f|' . value($node, undef, 'SELECT min(e) FROM mirage.log_block, unnest(entries) e WHERE number <= 2'),
	'a block is gone');
forced("UPDATE mirage.log_block SET signature = set_byte(signature, 3, get_byte(signature, 3) # 1) WHERE number = 1",
	'f|' . value($node, undef, 'SELECT min(e) FROM mirage.log_block, unnest(entries) e WHERE number = 1'),
	'a signature is changed');
forced("TRUNCATE mirage.log_block; TRUNCATE mirage.log", 'f|', 'all of it is gone');
is((split(/\n/, value($node, undef, "BEGIN; ALTER TABLE mirage.log DISABLE TRIGGER ALL; ALTER TABLE mirage.log_block "
	  . "DISABLE TRIGGER ALL; "
	  . "DELETE FROM mirage.log g USING (SELECT entries FROM mirage.log_block ORDER BY number DESC LIMIT 1) b WHERE "
	  . "g.id = ANY (b.entries); "
	  . "DELETE FROM mirage.log_block WHERE number = (SELECT max(number) FROM mirage.log_block); "
	  . "SELECT ok FROM dp_verify_audit('$head'); ROLLBACK")))[-1], 'f', 'the end of it is cut off: an old head tells');
is(value($node, undef, $check), 't|', 'undone, it is whole');
is(value($node, undef, "SELECT ok FROM dp_verify_audit('$head')"), 't', 'and holds the old head');
refused($node, undef, "SELECT dp_verify_audit('nonsense')", '22023', undef, 'what is no head is refused');

# A ledger that somebody shortens: nothing is spent any more.
value($node, undef, "ALTER TABLE mirage.ledger DISABLE TRIGGER ALL; CREATE TABLE stolen AS SELECT * FROM "
	  . "mirage.ledger WHERE charge = 1; "
	  . "DELETE FROM mirage.ledger WHERE charge = 1; ALTER TABLE mirage.ledger ENABLE ALWAYS TRIGGER refuse_change; "
	  . "ALTER TABLE mirage.ledger ENABLE ALWAYS TRIGGER refuse_strangers");
my $err = refused($node, 'owner', "SELECT dp_train('x', 'folk', epsilon => 0.2)", 'XX001',
	qr/fewer charges than the log/,
	'a ledger that was shortened');
like(hint_of($err), qr/Restore/, 'says what to do');
value($node, undef, 'INSERT INTO mirage.ledger SELECT * FROM stolen');
can_train($node, 'owner', 'm4', 'folk', 'restored, it can be spent from');
my @findings = split(/\n/, value($node, undef, "$check; ALTER TABLE mirage.ledger ENABLE ALWAYS TRIGGER "
	  . "refuse_truncate; $check"));
is($findings[0], 'f|', 'a trigger that was left disabled is found, with every row in its place');
is($findings[1], 't|', 'enabled again, all is whole');
audit_ok($node, 'the log is whole');

$node->stop;
done_testing();
