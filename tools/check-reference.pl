#!/usr/bin/env perl
# check-reference.pl: the documents against the server. What the server has is in expected/reference.out, the output of
# the regression test `reference`; here is compared, word for word, what docs/reference.md says of it: signatures of
# functions (each once, with RETURNS), columns of views in their order, settings with default and who may set them.
# In all documents, and in the messages of the C sources: every dp_* is a function or view, every pg_mirage.* a setting,
# every mirage.* ours, every `name =>` of a call a parameter of that function, and every link leads somewhere;
# and every test that docs/operations.md names by its number exists once.
# Prints what is wrong, and exits with 1 where something is.
use strict;
use warnings;

my (%function, %parameters, %view, %setting, %ours);
my @wrong;

# Of the server's way of writing and of ours: the same.
sub plain
{
	my ($s) = @_;

	$s =~ s/double precision/float8/g;
	$s =~ s/\binteger\b/int/g;
	$s =~ s/timestamp with time zone/timestamptz/g;
	$s =~ s/(DEFAULT (?:'[^']*'|\w+))::[a-z0-9\[\]]+/$1/g;
	$s =~ s/DEFAULT ([-\d.e]+)/'DEFAULT ' . (0 + $1)/ge;
	return $s;
}

sub slurp
{
	my ($path) = @_;

	open(my $f, '<', $path) or die "$path: $!\n";
	local $/;
	return scalar <$f>;
}

# ---------------------------------------------------------------- what there is

for (split /\n/, slurp('expected/reference.out'))
{
	my ($kind, @f) = split /\|/, $_, -1;

	if ($kind eq 'function')
	{
		my ($name, $arguments, $result) = @f;
		my @arguments = split /, /, $arguments;
		my @out = map { s/^OUT //r } grep { /^OUT / } @arguments;

		@arguments = grep { !/^OUT / } @arguments;
		$result = 'TABLE(' . join(', ', @out) . ')' if @out;
		$function{$name} = plain("$name(" . join(', ', @arguments) . ") RETURNS $result");
		$parameters{$name} = { map { /^"?(\w+)/ ? ($1 => 1) : () } @arguments };
	}
	$view{$f[0]} = $f[1] if $kind eq 'view';
	$ours{$f[1]} = $f[0] if $kind eq 'ours';
	$setting{$f[0]} = [ @f[ 1 .. 3 ] ] if $kind eq 'setting';
}
die "expected/reference.out names too little\n" if keys %function < 30 || keys %view < 5 || keys %setting < 10;

# ---------------------------------------------------------------- docs/reference.md

my $reference = slurp('docs/reference.md');
my %said;

$said{$2}{plain($1)}++ while $reference =~ /`((dp_\w+)\([^`]*\) RETURNS [^`]*)`/g;
for my $name (sort keys %function)
{
	my @said = keys %{ $said{$name} // {} };

	push @wrong, "docs/reference.md: $name has no signature, or one without RETURNS; it is: $function{$name}" if !@said;
	push @wrong, "docs/reference.md: $_; it is: $function{$name}" for grep { $_ ne $function{$name} } @said;
	push @wrong, "docs/reference.md: the signature of $name stands there more than once"
	  if grep { $_ > 1 } values %{ $said{$name} // {} };
}

my %row;
$row{$1} = $2 while $reference =~ /^\| `([\w.]+)` \| (.*) \|$/mg;
for my $name (sort keys %view)
{
	my $text = $row{$name} // '';

	1 while $text =~ s/\([^()]*\)//g;
	my $said = join(', ', $text =~ /`(\w+)`/g);
	push @wrong, "docs/reference.md: columns of $name: $said; they are: $view{$name}" if $said ne $view{$name};
}

my %unit = (MB => 1024, kB => 1, min => 60, s => 1, ms => 1);
my %who = ('configuration file' => 'sighup', superuser => 'superuser');
for my $name (sort keys %setting)
{
	my ($default, $who) = split / \| /, $row{$name} // '';
	my ($boot, $unit, $context) = @{ $setting{$name} };

	if (!defined $who)
	{
		push @wrong, "docs/reference.md: $name is not among the settings";
		next;
	}
	$default =~ tr/`//d;
	$default = '' if $default eq 'empty';
	# both in the unit that the server counts in
	$default = $1 * $unit{$2} * ($unit eq 'ms' && $2 ne 'ms' ? 1000 : 1)
	  if $unit ne '' && $default =~ /^(\d+)(\w+)$/;
	push @wrong, "docs/reference.md: default of $name: $default; it is: $boot $unit" if $default ne $boot;
	push @wrong, "docs/reference.md: $name may be set by: $who; its context is $context"
	  if ($who{$who} // 'user') ne $context;
}
push @wrong, map { "docs/reference.md: there is no setting $_" }
  grep { /^pg_mirage\./ && !$setting{$_} } sort keys %row;

# ---------------------------------------------------------------- all documents

my @documents = grep { -e } qw(README.md CHANGELOG.md CONTRIBUTING.md), sort glob('docs/*.md');
my @sources = grep { -e } sort glob('src/*/*.[ch] tools/*.sql');
# files and channels that are called like settings
my %file = map { $_ => 1 } qw(pg_mirage.key pg_mirage.control pg_mirage.c);

sub names
{
	my ($path, $text) = @_;

	$text =~ s/\]\([^()\s]*\)/]/g;
	while ($text =~ /(?<![\w.\/])(dp_[a-z_]+[a-z])\b(?!\*)/g)
	{
		push @wrong, "$path: there is no $1" if !$function{$1} && !$view{$1};
	}
	while ($text =~ /(?<![\w.\/])(pg_mirage\.[a-z_]+[a-z])\b/g)
	{
		push @wrong, "$path: there is no setting $1" if !$setting{$1} && !$file{$1};
	}
	while ($text =~ /(?<![\w.\/])mirage\.([a-z_]+[a-z])\b/g)
	{
		push @wrong, "$path: there is no mirage.$1" if !$ours{$1};
	}
	while ($text =~ /\b(dp_\w+)(\((?:[^()']++|'(?:[^']|'')*+'|(?2))*+\))/g)
	{
		my ($name, $call) = ($1, substr($2, 1, -1));

		next if !$parameters{$name};
		1 while $call =~ s/\([^()]*\)//;
		$call =~ s/'(?:[^']|'')*'//g;
		push @wrong, map { "$path: $name has no parameter $_" } grep { !$parameters{$name}{$_} } $call =~ /\b(\w+) =>/g;
	}
	return;
}

# As GitHub makes them of headings.
sub anchors
{
	my ($text) = @_;
	my (%seen, %anchor);

	$text =~ s/^```.*?^```//msg;
	while ($text =~ /^#+ +(.*?) *$/mg)
	{
		my $slug = lc $1;

		$slug =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
		$slug =~ s/[^\w\- ]//g;
		$slug =~ tr/ /-/;
		$slug .= "-$seen{$slug}" if $seen{$slug}++;
		$anchor{$slug} = 1;
	}
	return \%anchor;
}

my %anchors = map { $_ => anchors(slurp($_)) } @documents;
for my $path (@documents)
{
	my $text = slurp($path);
	my ($folder) = $path =~ m{^(.*/)};

	names($path, $text);
	while ($text =~ /\]\(([^()\s]+)\)/g)
	{
		my ($to, $anchor) = split /#/, $1, 2;

		next if $to =~ /^[a-z]+:/;
		$to = $to eq '' ? $path : ($folder // '') . $to;
		1 while $to =~ s{[^/]+/\.\./}{};
		if (!-e $to) { push @wrong, "$path: there is no $to" }
		elsif (defined $anchor && !$anchors{$to}{$anchor}) { push @wrong, "$path: $to has no heading #$anchor" }
	}
	# a table of which two rows begin alike was merged badly
	my (%first, $heading);
	for (split /\n/, $text)
	{
		%first = () if !/^\|/;
		push @wrong, "$path: two rows of a table are alike: $_" if /^\|/ && !/^\|[- |]*$/ && $first{$_}++;
	}
}
# docs/operations.md names tests by their numbers alone.
my %test;
$test{ m{/(\d+)_} ? $1 : '' }++ for glob('test/t/[0-9]*.pl');
my $operations = slurp('docs/operations.md');

while ($operations =~ /[(, ](0\d\d)(?=[),.;: |])/g)
{
	push @wrong, "docs/operations.md: test/t has no test $1" if !$test{$1};
	push @wrong, "docs/operations.md: $1 is more than one test" if ($test{$1} // 0) > 1;
}
# Sources: what users get to read, which is in strings.
for my $path (@sources)
{
	my $text = slurp($path);

	names($path, $path =~ /\.sql$/ ? $text : join("\n", $text =~ /"((?:[^"\\\n]|\\.)*)"/g));
}

my %once;
print map { "$_\n" } grep { !$once{$_}++ } @wrong;
exit(@wrong ? 1 : 0);
