# The README and the tutorial, typed as they stand, each in a database of its own server: a statement fails where its
# comment says so, and nowhere else. A receipt that the tutorial writes is verified as it says.
use strict;
use warnings;

use Cwd ();
use Mirage;
use Test::More;

my $project = $ENV{PROJECT_DIR};
my $dir = PostgreSQL::Test::Utils::tempdir();
my $says = qr/--.*\b(?:permission denied|refused|no room)\b/;

# The SQL of a document, from a heading on.
sub statements
{
	my ($path, $from) = @_;

	open(my $f, '<', "$project/$path") or die "$path: $!";
	local $/;
	my (undef, $text) = split /^$from\n/m, scalar <$f>, 2;
	return join("\n", $text =~ /^```sql\n(.*?)^```/msg);
}

# The statements of a document that failed against the word of their comments, or should have and did not.
sub typed
{
	my ($name, $sql) = @_;
	my $node = new_node($name, bare => 1, watched => 1);
	my $file = "$dir/$name.sql";
	my @lines = split /\n/, $sql, -1;

	open(my $f, '>', $file) or die $!;
	print $f $sql;
	close($f) or die $!;
	my $here = Cwd::getcwd();
	chdir($dir) or die $!;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', $file ], '>', \$out, '2>', \$err,
		IPC::Run::timeout(300));
	chdir($here) or die $!;
	my %failed = map { $_ => 1 } $err =~ /^psql:\Q$file\E:(\d+): (?:ERROR|error)/mg;
	my %should = map { $_ + 1 => 1 } grep { $lines[$_] =~ $says } 0 .. $#lines;
	my %either = (%failed, %should);
	my @wrong = map { "line $_: $lines[$_ - 1]" } sort { $a <=> $b } grep { !$failed{$_} != !$should{$_} } keys %either;

	is(join("\n", @wrong), '', "$name as it stands") or diag($err);
	cmp_ok(scalar(keys %should), '>=', 3, "$name has statements that are refused");
	return ($node, $out);
}

my ($readme, $out) = typed('readme', "CREATE EXTENSION pg_mirage;\n" . statements('README.md', '## Five minutes'));

like($out, qr/^ visits_v1 \| +\| t$/m, 'the README traces the model');
like($out, qr/^ visits_v1 \| tester +\| t$/m, 'and the recipient');
like($out, qr/^ +\d+ \| t$/m, 'and its log is whole');
$readme->stop;

(my $tutorial, $out) = typed('tutorial', statements('docs/tutorial.md', '## The DBA installs'));
my ($p) = $out =~ /^ stay_v1 \| tester +\| +\d+ \| +[\d.]+ \| +(\S+)/m;
cmp_ok($p // 1, '<', 1e-6, 'the tutorial traces the recipient');
like($out, qr/^ t +\| t$/m, 'and its receipt is about the rows of the file');
SKIP:
{
	skip('there is no openssl', 1) unless grep { -x "$_/openssl" } split(/:/, $ENV{PATH});
	like(qx($^X $project/tools/verify_receipt.pl $dir/wards.receipt.json $dir/receipts.pem),
		qr/^signed, and unchanged\nrecipient +tester\n/, 'which is verified outside');
}
$tutorial->stop;
done_testing();
