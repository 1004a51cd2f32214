# A head of the audit log that is kept outside shows a rewind: files that were put back, and an old dump. What the
# database says of itself is then whole, and only the head tells.
use strict;
use warnings;

use Mirage;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('first');

sub head { return value($_[0], undef, 'SELECT dp_audit_head()', @_[1 .. $#_]); }

sub number { return (split /;/, $_[0])[1]; }

sub release
{
	my ($of, $n, %o) = @_;
	value($of, undef, "SELECT count(*) FROM (SELECT dp_synthesize('m', $n)) x", %o);
}

# ok, and what the NOTICE says
sub judged
{
	my ($of, $kept, $ok, $pattern, $name, %o) = @_;
	my ($rc, $out, $err) = run_as($of, undef, "SELECT ok FROM dp_verify_audit('$kept')", %o);

	is($out, $ok, $name);
	like($err, $pattern, "$name: what is said of it") if defined $pattern;
	unlike($err, qr/NOTICE/, "$name: nothing is said") unless defined $pattern;
}

people($node, 'folk', 300);
value($node, undef, "SELECT dp_protect('folk', epsilon => 10)");
can_train($node, undef, 'm', 'folk', 'a model', epsilon => 1);
release($node, 10);
my $early = head($node);

# Nothing is left out: what is committed when the head is taken is before it, also what no worker has chained.
value($node, undef, "CREATE ROLE guest; BEGIN; SELECT dp_grant('m', 'guest'); COMMIT");
my $covering = head($node);
is(value($node, undef, "SELECT count(*) FROM dp_audit_log WHERE block IS NULL OR block > " . number($covering)), '0',
	'a head covers everything committed');
judged($node, $covering, 't', undef, 'the latest head');
judged($node, $early, 't', undef, 'an earlier one');

# ---------------------------------------------------------------- files put back

$node->stop;
my $data = $node->data_dir;
system('cp', '-a', $data, "$dir/copy") == 0 or die 'no copy';
my $dump = "$dir/dump.sql";
$node->start;
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-f', $dump, $node->connstr('postgres'));
release($node, $_) for 1 .. 3;
my $late = head($node);
can_train($node, undef, 'm2', 'folk', 'a charge that will be forgotten', epsilon => 1);
my $latest = head($node);
cmp_ok(number($latest), '>', number($late), 'heads move on');
judged($node, $latest, 't', undef, 'before the rewind');

$node->stop('immediate');
system('rm', '-rf', $data) == 0 && system('mv', "$dir/copy", $data) == 0 or die 'not put back';
$node->start;
audit_ok($node, 'the rewound database finds nothing wrong with itself');
is(value($node, undef, 'SELECT count(*) FROM dp_ledger'), '1', 'a charge is forgotten');
judged($node, $covering, 't', undef, 'a head from before the copy');
judged($node, $late, 'f', qr/NOTICE:.*the log ends before the head/, 'a head from after it');
judged($node, $latest, 'f', qr/NOTICE:.*the log ends before the head/, 'the last head');
# It goes on, past the number of the head: another block stands there.
while (number(head($node)) < number($latest))
{
	release($node, 1);
}
judged($node, $late, 'f', qr/NOTICE:.*not the one that the head was taken of/, 'after it went on');
judged($node, $latest, 'f', qr/NOTICE:.*not the one that the head was taken of/, 'with as many blocks');
judged($node, join(':', (split /;/, $latest)[ 1, 2 ]), 'f', qr/NOTICE:.*not the one that the head was taken of/,
	'a plain head shows it too');
audit_ok($node, 'the database itself sees nothing still');
judged($node, head($node), 't', undef, 'and its own heads are good');

# ---------------------------------------------------------------- an old dump

value($node, undef, 'CREATE DATABASE restored');
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump,
	$node->connstr('restored'));
my %in = (db => 'restored');
audit_ok($node, 'the restored dump is whole: seals and triggers came with it', %in);
judged($node, $early, 't', undef, 'a head from before the dump', %in);
judged($node, $covering, 't', undef, 'the last one before it', %in);
judged($node, $latest, 'f', qr/NOTICE:.*the log ends before the head/, 'a head from after it', %in);
release($node, 2, %in);
my $there = head($node, %in);
judged($node, $there, 't', undef, 'the restored database gives out heads of its own', %in);
is((split /;/, $there)[4] eq (split /;/, $early)[4] ? 'same' : 'other', 'other', 'which name another database');
is(value($node, undef, 'SELECT dp_verify_receipt(dp_receipt(1))', %in), 't', 'receipts came along');

# ---------------------------------------------------------------- heads of others

value($node, undef, 'CREATE DATABASE stranger');
%in = (db => 'stranger');
value($node, undef, 'CREATE EXTENSION pg_mirage', %in);
judged($node, $early, 'f', qr/NOTICE:.*not signed by this log/, 'a log that is empty', %in);
refused($node, undef, "SELECT dp_verify_audit('pg_mirage-head-1;1;2')", '22023', qr/not a head/,
	'what is no head', %in);
my $fresh = head($node, %in);
judged($node, $fresh, 't', undef, 'an empty log has a head all the same', %in);
judged($node, $early, 'f', qr/NOTICE:.*not signed by this log/, 'a log with a key of its own', %in);

# ---------------------------------------------------------------- who may

value($node, undef, 'CREATE ROLE auditor LOGIN IN ROLE mirage_auditor; CREATE ROLE chief LOGIN IN ROLE mirage_admin; '
	  . 'CREATE ROLE nobody LOGIN');
is(value($node, $_, 'SELECT ok FROM dp_verify_audit(dp_audit_head())'), 't', "$_ takes heads") for 'auditor', 'chief';
refused($node, 'nobody', 'SELECT dp_audit_head()', '42501', undef, 'nobody else does');
refused($node, undef, 'BEGIN; LOCK TABLE mirage.log_block IN EXCLUSIVE MODE; SELECT dp_audit_head()', '55P03',
	qr/holds/, 'a caller who holds what the worker waits for');

$node->stop;
done_testing();
