# Receipts and heads outside of the server that signed them: verified by openssl and by a program that has never seen
# PostgreSQL (tools/verify_receipt.pl), and by another database that only holds the public key.
use strict;
use warnings;

use Encode ();
use JSON::PP ();
use Mirage;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $openssl = grep { -x "$_/openssl" } split(/:/, $ENV{PATH});

plan(skip_all => 'there is no openssl') unless $openssl;

my $tool = "$ENV{PROJECT_DIR}/tools/verify_receipt.pl";

require $tool;

sub canonical { return VerifyReceipt::canonical(@_) }
sub verify { return VerifyReceipt::verify(@_) }
sub signed_by { return VerifyReceipt::signed_by(@_) }
sub base58 { return VerifyReceipt::base58(@_) }

# ---------------------------------------------------------------- receipts

# RFC 8785, section 3.2.4 and appendix B, for this program's own sake
is(canonical(JSON::PP->new->decode('{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001], '
		  . '"string": "\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\\\"\/", "literals": [null, true, false]}')),
	'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
	  . "\"string\":\"\x{20ac}\$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}", 'the canonical form of the standard\'s example');

my $node = new_node('signer', init => { extra => [ '--encoding=UTF8', '--locale=C' ] });
people($node, 'folk', 300);
my $model = Encode::encode('UTF-8', "f\x{fc}r \"\x{1f600}\" \\ 1");
value($node, undef, "SELECT dp_protect('folk', epsilon => 10); "
	  . "SELECT dp_train('$model', 'folk', method => 'independent', epsilon => 0.3, delta => 1e-10)");
is(value($node, undef, "CREATE TABLE copy AS SELECT * FROM dp_synthesize_as(NULL::folk, '$model', 1000, hash => true); "
		  . "SELECT count(*) FROM copy"), '1000', 'rows, and their hash');
my $receipt = value($node, undef, 'SELECT dp_receipt(1)');
my $pem = value($node, undef, 'SELECT dp_public_key()') . "\n";

ok(verify($pem, $receipt), 'openssl verifies the receipt');
VerifyReceipt::spit("$dir/key.pem", $pem);
VerifyReceipt::spit("$dir/receipt.json", $receipt);
like(qx($^X $tool $dir/receipt.json $dir/key.pem), qr/^signed, and unchanged\n/, 'the command says so');
is($?, 0, 'by its exit status, too');
VerifyReceipt::spit("$dir/receipt.json", $receipt =~ s/: 1000\b/: 100/r);
like(qx($^X $tool $dir/receipt.json $dir/key.pem), qr/^NOT signed/, 'and sees a change');
is($? >> 8, 1, 'by its exit status, too');
my $read = JSON::PP->new->utf8->decode($receipt);
is($read->{wasDerivedFrom}{name}, Encode::decode('UTF-8', $model), 'which names the model');
is($read->{wasDerivedFrom}{'mg:epsilon'}, 0.3, 'and its price');
my ($multikey) = $read->{proof}{verificationMethod} =~ /^did:key:z(\w+)#z\1$/;
my $der = qx(openssl pkey -pubin -in $dir/key.pem -outform DER);
is(unpack('H*', base58($multikey, 34)), 'ed01' . unpack('H*', substr($der, -32)), 'its did:key is the public key');
for my $change (
	[ 'a figure', sub { $_[0]{wasDerivedFrom}{'mg:epsilon'} = 0.1 } ],
	[ 'the recipient', sub { $_[0]{'mg:recipient'}{name} = 'mallory' } ],
	[ 'the hash', sub { $_[0]{'mg:rows'}{'mg:hash'} =~ s/.$// } ],
	[ 'the time of the proof', sub { $_[0]{proof}{created} = '2000-01-01T00:00:00Z' } ])
{
	my $changed = JSON::PP->new->utf8->decode($receipt);

	$change->[1]->($changed);
	my $text = JSON::PP->new->utf8->encode($changed);

	ok(!verify($pem, $text), "openssl sees a change of $change->[0]");
	is(value($node, undef, 'SELECT dp_verify_receipt(:\'r\')', psql => [ '-v', "r=$text" ]), 'f',
		'and so does the server');
}
# Written by another program: its own order, white space, and way of writing numbers.
my $pretty = JSON::PP->new->utf8->ascii->pretty->encode($read);

isnt($pretty, $receipt, 'another program writes it in its own way');
ok(verify($pem, $pretty), 'openssl verifies that');
is(value($node, undef, 'SELECT dp_verify_receipt(:\'r\')', psql => [ '-v', "r=$pretty" ]), 't',
	'and so does the server');

# ---------------------------------------------------------------- another database

my $other = new_node('other', init => { extra => [ '--encoding=UTF8', '--locale=C' ] });

is(value($other, undef, 'SELECT dp_verify_receipt(:\'r\')', psql => [ '-v', "r=$receipt" ]), 'f',
	'a database without a key');
is(value($other, undef, 'SELECT dp_verify_receipt(:\'r\', :\'k\')',
		psql => [ '-v', "r=$receipt", '-v', "k=$pem" ]), 't',
	'with the public key');
people($other, 'folk', 100);
value($other, undef, "SELECT dp_protect('folk', epsilon => 10); "
	  . "SELECT dp_train('m', 'folk', method => 'independent', epsilon => 1); "
	  . "SELECT count(*) FROM (SELECT dp_synthesize('m', 1)) x");
is(value($other, undef, 'SELECT dp_verify_receipt(:\'r\'), dp_verify_receipt(:\'r\', :\'k\'), '
		  . 'dp_verify_receipt(dp_receipt(1)), '
		  . 'dp_verify_receipt(dp_receipt(1), :\'k\')', psql => [ '-v', "r=$receipt", '-v', "k=$pem" ]), 'f|t|t|f',
	'a database with a key of its own');

# The rows travelled as CSV, and are loaded under other settings.
my $csv = "$dir/rows.csv";
value($node, undef, "\\copy copy TO '$csv' CSV HEADER");
value($other, undef, 'CREATE TABLE arrived (LIKE folk)');
value($other, undef, "\\copy arrived FROM '$csv' CSV HEADER");
is(value($other, undef, "SET extra_float_digits = -10; SET DateStyle = 'German'; SELECT dp_hash_rows('TABLE arrived')"),
	$read->{'mg:rows'}{'mg:hash'}, 'the rows that arrived are those of the receipt');
value($other, undef, 'UPDATE arrived SET age = age + 1 WHERE id = (SELECT min(id) FROM arrived)');
isnt(value($other, undef, "SELECT dp_hash_rows('TABLE arrived ORDER BY ctid')"), $read->{'mg:rows'}{'mg:hash'},
	'and no longer when one is changed');

# ---------------------------------------------------------------- heads

my $head = value($node, undef, 'SELECT dp_audit_head()');
my ($statement, $signature) = $head =~ /^(.*);([0-9a-f]{128})$/;
my $log_pem = value($node, undef, "SELECT dp_public_key('log')") . "\n";

ok(signed_by($log_pem, $statement, pack('H*', $signature)), 'openssl verifies a head');
ok(!signed_by($log_pem, $statement =~ s/;\d+;/;1;/r, pack('H*', $signature)), 'and not another number');
ok(!signed_by($pem, $statement, pack('H*', $signature)), 'nor by the key of receipts');

$node->stop;
$other->stop;
done_testing();
