# The master key: made once, kept to itself, and nothing works without it; and a standby, which can release nothing.
use strict;
use warnings;

use Mirage;
use Test::More;

my $node = new_node('keys', init => { allows_streaming => 1 });
my $key = $node->data_dir . '/pg_mirage.key';
my $rows = "SELECT count(*) FROM dp_synthesize_as(NULL::folk, 'm', 3)";

sub mode { return sprintf('%04o', (stat($_[0]))[2] & 07777); }

# Nothing can be trained or released; what is there stays as it is.
sub closed
{
	my ($what, $message) = @_;
	my $before = charges($node, 'folk');

	refused($node, undef, $rows, 'F0000', $message, "$what: no rows");
	refused($node, undef, "SELECT dp_train('n', 'folk', epsilon => 0.1)", 'F0000', $message, "$what: no training");
	is(charges($node, 'folk'), $before, "$what: and no charge");
	is(value($node, undef, "SET client_min_messages = warning; SELECT ok FROM dp_verify_audit()"), 't',
		"$what: the log can be verified all the same");
}

people($node, 'folk', 300);
quietly($node, undef, "SELECT dp_protect('folk', epsilon => 20); SELECT dp_set_column('folk', 'id', kind => "
	  . "'identifier')",
	'a table is protected');
ok(!-e $key, 'no key until it is needed');
can_train($node, undef, 'm', 'folk', 'the first training');
ok(-f $key, 'makes a key');
is(mode($key), '0600', 'for the server alone');
like(slurp($key), qr/\A[0-9a-f]{64}\n\z/, 'of 64 digits');
is(value($node, undef, $rows), '3', 'there are rows');
is(value($node, undef, "SELECT dp_grant('m', 'mirage_trainer') IS NOT NULL; CREATE ROLE guest LOGIN IN ROLE "
	  . "mirage_trainer"), 't',
	'a guest is let in');
ok(index(value($node, undef, "SELECT string_agg(w::text, '') FROM mirage.wrapped_key w"), substr(slurp($key), 0,
	64)) < 0,
	'the key itself is in no table');

# -- another database takes the same key
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pg_mirage');
people($node, 'folk', 300, db => 'other');
value($node, undef, "SELECT dp_protect('folk', epsilon => 20)", db => 'other');
my $good = slurp($key);
can_train($node, undef, 'm', 'folk', 'a training in another database', db => 'other');
is(slurp($key), $good, 'takes the same key');

# -- lost
unlink($key);
closed('no file', qr/could not open the master key file/);
ok(!-e $key, 'and no other key is made in its place');
my $err = refused($node, 'guest', $rows, 'F0000', undef, 'nor for the guest');
ok(index($err, $node->data_dir) < 0, 'who is not told where the file is');

# -- exchanged, damaged, open to others
spit($key, ('ab' x 32) . "\n");
closed('another key', qr/not the one of this database.*fingerprint [0-9a-f]{32}/s);
for my $bad ('', "zz\n", substr($good, 0, 63) . "\n", $good . $good, substr($good, 0, 63) . 'g', "\n$good")
{
	spit($key, $bad);
	refused($node, undef, $rows, 'F0000', qr/does not hold 64 hexadecimal digits/,
		'no key: ' . length($bad) . ' bytes');
}
spit($key, $good);
chmod(0640, $key);
closed('a readable file', qr/can be accessed by others/);
unlink($key);
mkdir($key);
refused($node, undef, $rows, 'F0000', qr/not a regular file/, 'a folder is no key');
rmdir($key);
spit($key, uc($good));
is(value($node, undef, $rows), '3', 'capital digits are the same key');
rename($key, "$key.elsewhere");
configure($node, master_key_file => "$key.elsewhere");
is(value($node, undef, $rows), '3', 'elsewhere');

# -- from a command
configure($node, master_key_command => "cat $key.elsewhere");
configure($node, master_key_file => 'nowhere');
is(value($node, undef, $rows), '3', 'a command gives the key');
can_train($node, undef, 'c', 'folk', 'and a training takes it');
ok(!-e $node->data_dir . '/nowhere', 'no file is made then');
configure($node, master_key_command => "cat $key.elsewhere; exit 3");
closed('a command that fails', qr/master key command failed: .*3/);
spit("$key.wrong", 'not-what-it-should-be');
configure($node, master_key_command => "cat $key.wrong");
$err = refused($node, undef, $rows, 'F0000', qr/did not print a key/, 'a command that prints something else');
unlike($err, qr/not-what/, 'which is not shown');
configure($node, master_key_command => 'sleep 600');
refused($node, undef, "SET statement_timeout = '500ms'; $rows", '57014', undef,
	'a command that hangs can be cancelled');
configure($node, master_key_command => '');
configure($node, master_key_file => "$key.elsewhere");
is(value($node, undef, $rows), '3', 'back again');
ok(index(slurp($node->logfile), $_) < 0, 'nothing of it is in the server log') for (substr($good, 0, 64),
	'not-what-it');
audit_ok($node, 'the log is whole');

# -- a standby
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('write'));
refused($standby, undef, $rows, '25006', qr/standby.*primary/s, 'a standby gives no rows');
refused($standby, undef, "SELECT dp_synthesize('m', 1)", '25006', qr/standby.*primary/s, 'not as records either');
refused($standby, undef, $_, '25006', undef, "nor does it do $_")
  for ("SELECT dp_grant('m', 'guest')", "SELECT dp_revoke('m', 'guest')", "SELECT dp_drop_model('m')",
	"SELECT dp_train('s', 'folk', epsilon => 0.1)");
audit_ok($standby, 'but it can verify the log');
$standby->promote;
is(value($standby, undef, $rows), '3', 'once promoted it gives rows, with the key it was given');
audit_ok($standby, 'and goes on with the log');
$standby->stop;
$node->stop;

done_testing();
