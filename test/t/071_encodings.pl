# 071_encodings.pl: texts that callers choose in databases whose encoding has bytes that are
# no UTF-8. The log's chain hashes texts in UTF-8: nobody may write an entry at which chaining stops for ever.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use Mirage;
use Test::More;

my $node = new_node('encodings', init => { extra => ['--locale=C'] }, bare => 1, conf => 'fsync = off', );

$node->append_conf('postgresql.conf', "pg_mirage.allow_unsafe_fsync = on\n");
$node->restart;

sub prepare
{
	my ($db, $encoding) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $db ENCODING '$encoding' TEMPLATE template0");
	$node->safe_psql(
		$db,
		qq{CREATE EXTENSION pg_mirage;
CREATE TABLE t (a int, b text CHECK (b IN ('x', 'y')));
INSERT INTO t SELECT g % 50, CASE WHEN g % 3 = 0 THEN 'x' ELSE 'y' END FROM generate_series(1, 500) g;
SELECT dp_protect('t', epsilon => 10);
SELECT dp_set_column('t', 'a', lower => '0', upper => '49');
SELECT dp_train('m', 't', method => 'independent', epsilon => 1);});
	return;
}

sub rows_for
{
	my ($db, $purpose) = @_;

	return $node->psql($db, "SELECT count(*) FROM dp_synthesize('m', 5, purpose => $purpose) AS t (a int)");
}

# entries in no block, once all work is done
sub unchained
{
	my ($db) = @_;

	$node->psql($db, 'SELECT dp_audit_head()');
	return $node->safe_psql($db,
		'SELECT count(*) FROM mirage.log l WHERE NOT EXISTS (SELECT FROM mirage.log_block b WHERE l.id = ANY '
			  . '(b.entries))');
}

# bytes are bytes: they are hashed as they are
prepare('plain', 'SQL_ASCII');
is(rows_for('plain', q{E'caf\351'}), 0, 'SQL_ASCII: a purpose that is no UTF-8');
is($node->psql('plain', q{SELECT dp_create_budget(E'b\351', 1)}), 0, '.. and a name');
is(unchained('plain'), 0, '.. are chained');
is($node->safe_psql('plain', 'SELECT ok FROM dp_verify_audit()'), 't', '.. and verified');
is($node->safe_psql('plain', 'SELECT dp_verify_receipt(dp_receipt(1))'), 't', '.. and the receipt with them');

# a character that UTF-8 has no word for is refused before anything is written
prepare('japan', 'EUC_JP');
is(rows_for('japan', q{E'\244\242'}), 0, 'EUC_JP: a purpose that can be converted');
isnt(rows_for('japan', q{E'\251\241'}), 0, '.. one that cannot is refused');
isnt($node->psql('japan', q{SELECT dp_create_budget(E'\251\241', 1)}), 0, '.. a name likewise');
is($node->safe_psql('japan', 'SELECT count(*) FROM mirage.issuance'), 1, '.. before it is recorded');
is(rows_for('japan', 'NULL'), 0, '.. and others go on');
is(unchained('japan'), 0, '.. with everything chained');
is($node->safe_psql('japan', 'SELECT ok FROM dp_verify_audit()'), 't', '.. and verified');

# the same beside a high-water mark, which holds the names of budgets
my $marks = $node->basedir . '/marks';
mkdir $marks or die;
$node->append_conf('postgresql.conf', "pg_mirage.high_water_file = '$marks/mark'\n");
$node->restart;
is( $node->psql('plain', q{SELECT dp_protect('u', E'b\351') FROM (SELECT 1) s}), 3, 'no such table');
$node->safe_psql('plain', q{CREATE TABLE u AS SELECT * FROM t; SELECT dp_protect('u', E'b\351')});
is($node->psql('plain', q{SELECT dp_train('m2', 'u', method => 'independent', epsilon => 0.5)}),
	0, 'a budget of that name is charged beside a high-water mark');
is($node->psql('plain', q{SELECT dp_train('m3', 't', method => 'independent', epsilon => 0.5)}),
	0, '.. which is read again');

$node->stop;
done_testing();
