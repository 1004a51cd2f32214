#!/usr/bin/perl
# check-layers.pl ROOT: reads the sources below ROOT/src and prints a line for each place that breaks the architecture
# (docs/architecture.md): "RULE: file:line: what". Ends with 1 when there was one. tools/check-layers.sh runs it.
#
# Includes are followed through headers, so that nothing is reached by a detour. Comments and strings are not looked
# at.
use strict;
use warnings;

my $root = shift // '.';
chdir $root or die "$root: $!\n";

# Folder => the folders that it may include besides itself.
my %pure = (
	base      => [],
	num       => [qw(base)],
	privacy   => [qw(base num)],
	table     => [qw(base num privacy)],
	curator   => [qw(base num privacy table)],
	model     => [qw(base num privacy table curator)],
	graphical => [qw(base num privacy table curator model)],
	neural    => [qw(base num privacy table curator model)],
	seal      => [qw(base)],
	watermark => [qw(base num privacy table seal)],
	synthesis => [qw(base num privacy table curator model graphical neural seal watermark)],
	measure   => [qw(base num privacy table curator model graphical neural seal watermark synthesis)],
);
my %server = (
	pg      => [],
	catalog => [qw(pg)],
	worker  => [qw(pg catalog)],
	emit    => [qw(pg catalog)],
	api     => [qw(pg catalog worker emit)],
	''      => [qw(pg catalog worker emit api)], # src/pg_mirage.c
);

# What it may not call.
my $server_words = 'ereport|elog|palloc\w*|pfree|repalloc\w*|CHECK_FOR_INTERRUPTS|PG_TRY|PG_CATCH'
	. '|MemoryContext\w*|SPI_\w+';
my $jumps = 'abort|_?exit|_Exit|quick_exit|v?f?printf|f?puts|perror|(?:sig)?longjmp|(?:sig)?setjmp';

# What the pure side may take from outside. The server's headers are not among them, whatever they are called.
my $outside = qr{^(?:
	assert|ctype|errno|fenv|float|inttypes|limits|math|pthread|sched|signal|stdarg|stdatomic|stdbool|stddef|stdint
	|stdio|stdlib|stdnoreturn|string|strings|time|unistd|fcntl|endian|dlfcn|cblas|immintrin|arm_neon
	|sys/mman|sys/random|sys/stat|sys/types|sys/time|openssl/\w+)\.h$}x;

# Exact counting: of table/, only these are for everyone.
my %table_public = map { $_ => 1 } qw(table/domain.h table/store.h);

my @bad;
sub bad { my ($rule, $file, $line, $what) = @_; push @bad, "$rule: $file:$line: $what"; }

# The text with comments, strings and character constants blanked, lines kept; include lines are read before.
sub strip
{
	my ($text) = @_;
	$text =~ s{(/\*.*?\*/)|(//[^\n]*)|("(?:\\.|[^"\\\n])*")|('(?:\\.|[^'\\\n])*')}
		{ my $m = $&; my $n = ($m =~ tr/\n//); defined $3 ? '""' : defined $4 ? "' '" : ' ' . "\n" x $n }gse;
	return $text;
}

sub folder { my ($f) = @_; return $f =~ m{^src/([^/]+)/} ? $1 : ''; }

my (%text, %includes); # by path below src/
my @files;
for my $f (sort(glob('src/*/*.[ch] src/*.[ch] src/*/*/*.[ch]')))
{
	open(my $fh, '<', $f) or die "$f: $!\n";
	local $/;
	my $raw = <$fh>;
	(my $name = $f) =~ s{^src/}{};
	push @files, $name;
	# Comments go first (an include in a comment is none), strings stay for the include lines.
	(my $no_comments = $raw) =~ s{("(?:\\.|[^"\\\n])*")|(/\*.*?\*/)|(//[^\n]*)}
		{ defined $1 ? $1 : ' ' . "\n" x (($& =~ tr/\n//)) }gse;
	my $line = 0;
	for (split /\n/, $no_comments)
	{
		$line++;
		push @{ $includes{$name} }, [ $line, $1, $2 ] if /^\s*#\s*include\s*(["<])([^">]+)[">]/;
		bad('include', $f, $line, 'an include that is computed cannot be checked') if /^\s*#\s*include\s*[^"<\s]/;
	}
	$text{$name} = strip($raw);
}
my %known = map { $_ => 1 } @files;

# Every header of ours that a file reaches, with the line of its own that leads there and the way.
sub reached
{
	my ($file) = @_;
	my (%seen, @todo);
	@todo = map { [ $_->[2], $_->[0], $_->[2] ] }
		grep { $_->[1] eq '"' && $known{ $_->[2] } } @{ $includes{$file} // [] };
	while (my $t = shift @todo)
	{
		my ($h, $line, $way) = @$t;
		next if $seen{$h};
		$seen{$h} = [ $line, $way ];
		push @todo, map { [ $_->[2], $line, "$way -> $_->[2]" ] }
			grep { $_->[1] eq '"' && $known{ $_->[2] } } @{ $includes{$h} // [] };
	}
	return \%seen;
}

for my $name (@files)
{
	my $f = "src/$name";
	my $dir = folder($f);
	my $is_pure = exists $pure{$dir};
	if (!$is_pure && !exists $server{$dir})
	{
		bad('folder', $f, 1, "src/$dir has no place in the order of folders");
		next;
	}
	bad('folder', $f, 1, 'only pg_mirage.c lies in src itself') if $dir eq '' && $name ne 'pg_mirage.c';

	for my $i (@{ $includes{$name} // [] })
	{
		my ($line, $kind, $what) = @$i;
		if ($is_pure && $kind eq '"' && !$known{$what})
		{
			bad('server-header', $f, $line, "\"$what\" is no header of ours, relative to src");
		}
		elsif ($is_pure && $kind eq '<' && $what !~ $outside)
		{
			bad('server-header', $f, $line, "<$what> is not among what the pure side may use");
		}
	}

	my $reached = reached($name);
	my %may = map { $_ => 1 } ($dir, @{ $is_pure ? $pure{$dir} : $server{$dir} }, $is_pure ? () : keys %pure);
	for my $h (sort keys %$reached)
	{
		my ($line, $way) = @{ $reached->{$h} };
		my $hdir = folder("src/$h");
		bad('direction', $f, $line, "$dir may not use $hdir ($way)") unless $may{$hdir};
		bad('exact-counting', $f, $line, "$h is for table and curator only ($way)")
			if $hdir eq 'table' && !$table_public{$h} && $dir ne 'table' && $dir ne 'curator';
		bad('private-header', $f, $line, "$h is for $hdir only ($way)") if $h =~ /_private\.h$/ && $dir ne $hdir;
		bad('fast-generator', $f, $line, "private noise and counting must not see $h ($way)")
			if $h eq 'num/rng.h' && $dir =~ /^(?:privacy|table|curator)$/;
	}

	my $line = 0;
	for (split /\n/, $text{$name})
	{
		$line++;
		bad('server-call', $f, $line, "$1 on the pure side")
			if $is_pure && /\b($server_words)\b/;
		bad('no-jump', $f, $line, "$1 on the pure side: it returns a status")
			if $is_pure && /\b($jumps)\s*\(/;
		bad('entry-point', $f, $line, 'SQL-callable functions live in api')
			if /\b(?:PG_FUNCTION_INFO_V1|MG_FUNCTION)\s*\(/ && $dir ne 'api' && $name ne 'pg/export.h';
		bad('entry-point', $f, $line, 'the module has one magic block, in pg_mirage.c')
			if /\bPG_MODULE_MAGIC/ && $name ne 'pg_mirage.c';
		bad('fast-math', $f, $line, 'the process would lose its floating-point semantics')
			if /fast-math|__attribute__\s*\(\(\s*optimize/;
	}
	# A status becomes an error in one place. A worker may keep a ctx's message for the job's row.
	if (!$is_pure && $dir ne 'pg')
	{
		my $t = $text{$name};
		while ($t =~ /\berr(?:msg|detail|hint)\w*\s*\([^;]*?\bctx\s*(?:\.|->)\s*(?:message|hint|code)\b/g)
		{
			my $before = substr($t, 0, $-[0]);
			bad('error-map', $f, 1 + ($before =~ tr/\n//), 'only pg/ turns a status of the core into an error');
		}
	}
}
print "$_\n" for @bad;
exit(@bad ? 1 : 0);
