#!/usr/bin/perl
# csv_table.pl FILE NAME PATH: prints SQL for psql that makes a table of text columns after the header of FILE (a copy
# of it, for psql to read, lies at PATH), named after NAME, and copies the rows into it. The first line says what the
# table is called. demo_types.sql then gives the columns the types that their values allow.
use strict;
use warnings;

my ($file, $name, $path) = @ARGV;
open(my $in, '<:raw', $file) or die "$!\n";
my $text = do { local $/; <$in> } // '';
die "it is empty\n" unless $text =~ /\S/;
die "it holds NUL bytes: it is not CSV\n" if index($text, "\0") >= 0;
my $decoded = $text;
my $encoding = utf8::decode($decoded) ? 'UTF8' : 'LATIN1';
utf8::upgrade($decoded = $text) if $encoding eq 'LATIN1';
$decoded =~ s/\A\x{feff}//;

# The header: up to the first line end outside quotes. The separator is the one that it has most of, outside quotes.
my ($header) = $decoded =~ /\A((?:"(?:[^"]|"")*"|[^"\r\n])*)/;
(my $bare = $header) =~ s/"(?:[^"]|"")*"//g;
my ($separator, $most) = (',', -1);
for my $s (',', ';', "\t")
{
	my $n = () = $bare =~ /\Q$s\E/g;
	($separator, $most) = ($s, $n) if $n > $most;
}

# Names of columns: whatever the header says, made distinct, and no longer than a name may be (63 bytes).
sub clip
{
	my ($s, $bytes) = @_;
	while (length(do { my $b = $s; utf8::encode($b); $b }) > $bytes) { chop $s; }
	return $s;
}
my (@columns, %taken);
for my $field ($header =~ /(?:\A|\Q$separator\E)("(?:[^"]|"")*"|[^\Q$separator\E]*)/g)
{
	my $n = $field;
	$n = $1 =~ s/""/"/gr if $n =~ /\A"(.*)"\z/s;
	$n =~ s/\A\s+|\s+\z//g;
	$n = clip($n, 55);
	$n = 'column_' . (@columns + 1) if $n eq '';
	$n .= '_' . (@columns + 1) if $taken{$n}++;
	push @columns, $n;
}
die 'it has ' . @columns . " columns, a table at most 1600\n" if @columns > 1600;

(my $table = lc $name) =~ s/\.[^.]*\z//;
$table =~ s/[^a-z0-9]+/_/g;
$table =~ s/\A_+|_+\z//g;
$table = "t_$table" unless $table =~ /\A[a-z]/;
$table = substr($table, 0, 50);

binmode(STDOUT, ':utf8');
print "-- table: $table\n";
print 'CREATE TABLE "', $table, '" (', join(', ', map { '"' . s/"/""/gr . '" text' } @columns), ");\n";
my $delimiter = $separator eq "\t" ? "E'\\t'" : "'$separator'";
# Up to 1600 columns and whatever quotes: \copy takes all of it on one line.
print "\\copy \"$table\" FROM '$path' WITH (FORMAT csv, HEADER, DELIMITER $delimiter, ENCODING '$encoding')\n";
