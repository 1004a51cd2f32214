#!/usr/bin/env perl
# verify_receipt.pl RECEIPT.json PUBLIC_KEY.pem: is the receipt signed by the owner of the key, and unchanged? Needs the
# openssl program (3.0 or later) and perl's own modules, no server and nothing of pg_mirage: an independent reading of
# RFC 8785 (canonical JSON) and of the W3C cryptosuite eddsa-jcs-2022. Prints what the receipt says, and exits with 0
# where it is good, with 1 where it is not. The key is what dp_public_key() gave on a day when nobody had reason to lie.
package VerifyReceipt;
use strict;
use warnings;

use B ();
use Digest::SHA qw(sha256);
use Encode ();
use File::Temp ();
use JSON::PP ();
use Math::BigInt;

my $dir = File::Temp->newdir();

sub spit
{
	my ($path, $bytes) = @_;

	open(my $f, '>:raw', $path) or die "$path: $!\n";
	print $f $bytes;
	close($f) or die "$path: $!\n";
	return $path;
}

# ---------------------------------------------------------------- canonical JSON

sub number
{
	my ($v) = @_;
	my ($digits, $exponent);

	return '0' if $v == 0;
	for my $precision (0 .. 16)
	{
		my $text = sprintf("%.${precision}e", abs($v));

		next if $text != abs($v);
		($digits, $exponent) = $text =~ /^([\d.]+)e([+-]\d+)$/ or die $text;
		$exponent++;
		last;
	}
	$digits =~ s/\.//;
	$digits =~ s/0+$//;
	my $n = length $digits;
	my $text =
	  $n <= $exponent && $exponent <= 21 ? $digits . '0' x ($exponent - $n)
	  : 0 < $exponent && $exponent <= 21 ? substr($digits, 0, $exponent) . '.' . substr($digits, $exponent)
	  : -6 < $exponent && $exponent <= 0 ? '0.' . '0' x -$exponent . $digits
	  : substr($digits, 0, 1)
	  . ($n > 1 ? '.' . substr($digits, 1) : '') . 'e'
	  . ($exponent > 0 ? '+' : '-')
	  . abs($exponent - 1);
	return $v < 0 ? "-$text" : $text;
}

sub string
{
	my ($s) = @_;
	my %short = ("\b" => '\b', "\f" => '\f', "\n" => '\n', "\r" => '\r', "\t" => '\t', '"' => '\"', '\\' => '\\\\');

	$s =~ s/([\x00-\x1f"\\])/$short{$1} \/\/ sprintf('\u%04x', ord $1)/ge;
	return '"' . $s . '"';
}

# Characters; names sorted by their UTF-16 code units.
sub canonical
{
	my ($v) = @_;

	return 'null' unless defined $v;
	return $v ? 'true' : 'false' if ref $v eq 'JSON::PP::Boolean';
	return '[' . join(',', map { canonical($_) } @$v) . ']' if ref $v eq 'ARRAY';
	if (ref $v eq 'HASH')
	{
		my %key = map { $_ => Encode::encode('UTF-16BE', $_) } keys %$v;

		return '{' . join(',', map { string($_) . ':' . canonical($v->{$_}) } sort { $key{$a} cmp $key{$b} } keys %$v)
		  . '}';
	}
	return B::svref_2object(\$v)->FLAGS & B::SVp_POK() ? string($v) : number($v);
}

# ---------------------------------------------------------------- signatures

# The bytes that a text in base58 stands for, so many of them; undef where it does not.
sub base58
{
	my ($text, $bytes) = @_;
	my $alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
	my $n = Math::BigInt->new(0);

	return undef if $text !~ /^[$alphabet]+$/;
	$n = $n * 58 + index($alphabet, $_) for split(//, $text);
	my $hex = substr($n->as_hex, 2);
	return length $hex <= 2 * $bytes ? pack('H*', substr('0' x (2 * $bytes) . $hex, -2 * $bytes)) : undef;
}

sub signed_by
{
	my ($pem, $message, $signature) = @_;
	my @files = (spit("$dir/key.pem", $pem), spit("$dir/message", $message), spit("$dir/signature", $signature));

	return 0 == system("openssl pkeyutl -verify -pubin -inkey $files[0] -rawin -in $files[1] -sigfile $files[2] "
		  . ">$dir/out 2>&1");
}

# A receipt as text; what is signed is the hash of the proof's options, and that of the rest.
sub verify
{
	my ($pem, $text) = @_;
	my $receipt = JSON::PP->new->utf8->decode($text);
	my $proof = delete $receipt->{proof};
	my ($value) = (delete $proof->{proofValue}) =~ /^z(\w+)$/ or return 0;
	my $signature = base58($value, 64) // return 0;

	return 0 if $proof->{cryptosuite} ne 'eddsa-jcs-2022';
	return signed_by($pem, join('', map { sha256(Encode::encode('UTF-8', canonical($_))) } $proof, $receipt),
		$signature);
}

# ---------------------------------------------------------------- the command

sub slurp
{
	my ($path) = @_;

	open(my $f, '<:raw', $path) or die "$path: $!\n";
	local $/;
	return scalar <$f>;
}

sub main
{
	my ($path, $key) = @_;

	if (@_ != 2)
	{
		print STDERR "usage: verify_receipt.pl RECEIPT.json PUBLIC_KEY.pem\n";
		return 2;
	}
	my $text = slurp($path);
	my $good = eval { verify(slurp($key), $text) };

	if (!$good)
	{
		print "NOT signed by this key, or changed since\n";
		return 1;
	}
	my $r = JSON::PP->new->utf8->decode($text);
	my $m = $r->{wasDerivedFrom};
	my %line = (
		recipient => $r->{'mg:recipient'}{name} . ($r->{'mg:recipient'}{'mg:claimed'} ? ' (as a login claimed)' : ''),
		model => $m->{name},
		epsilon => $m->{'mg:epsilon'},
		rows => $r->{wasGeneratedBy}{'mg:rowsAskedFor'} // 'unknown',
		released => $r->{generatedAtTime},
		hash => $r->{'mg:rows'} ? $r->{'mg:rows'}{'mg:hash'} : 'none');

	binmode(STDOUT, ':encoding(UTF-8)');
	print "signed, and unchanged\n";
	printf "%-10s %s\n", $_, $line{$_} for qw(recipient model epsilon rows released hash);
	return 0;
}

exit main(@ARGV) unless caller;
1;
