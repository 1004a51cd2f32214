#!/usr/bin/perl
# csv_table.pl FILE: prints SQL for psql that makes a table of text columns named after FILE and its header, and copies FILE's
# rows into it, as part of the script. The first line says what the table is called. Quoted fields may hold separators,
# doubled quotes and line ends. demo_types.sql then gives the columns the types that their values allow.
use strict;
use warnings;

my $file = shift // die "which file?\n";
open(my $in, '<:raw', $file) or die "$!\n";
my $text = do { local $/; <$in> };
$text =~ s/^\xef\xbb\xbf//;
die "it is empty\n" unless $text =~ /\S/;
die "it holds a NUL byte: it is not CSV\n" if index($text, "\0") >= 0;
my $copy = $text;
my $encoding = utf8::decode($copy) ? 'UTF8' : 'LATIN1';
$text = $copy if $encoding eq 'UTF8';

# The separator is the one that the header has most of.
my ($header) = $text =~ /\A((?:"(?:[^"]|"")*"|[^"\r\n])*)/;
(my $bare = $header) =~ s/"(?:[^"]|"")*"//g;
my ($sep) = sort { ($bare =~ s/\Q$b\E//gr =~ tr///c, 0)[0] <=> ($bare =~ s/\Q$a\E//gr =~ tr///c, 0)[0] || $a cmp $b } (',');
my $most = -1;
for my $s (',', ';', "\t")
{
	my $n = () = $bare =~ /\Q$s\E/g;
	($sep, $most) = ($s, $n) if $n > $most;
}

# Records and their fields; undef is an empty field without quotes.
my @records;
my @fields;
pos($text) = 0;
while (pos($text) < length($text))
{
	my $field;
	if ($text =~ /\G"((?:[^"]|"")*)"/gc) { ($field = $1) =~ s/""/"/g; }
	elsif ($text =~ /\G([^\Q$sep\E\r\n]*)/gc) { $field = length($1) ? $1 : undef; }
	push @fields, $field;
	next if $text =~ /\G\Q$sep\E/gc && ((push @fields, undef) x ($text =~ /\G(?=\r|\n|\z)/ ? 1 : 0), 1)[-1] && pos($text) < length($text)
		&& $text !~ /\G(?=\r|\n)/;
	if ($text =~ /\G(?:\r\n|\n|\r|\z)/gc)
	{
		push @records, [@fields] if @fields > 1 || defined $fields[0];
		@fields = ();
	}
	else { die 'line ' . (1 + (substr($text, 0, pos($text)) =~ tr/\n//)) . ": a quote in the middle of a field\n"; }
}
