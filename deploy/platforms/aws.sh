#!/bin/sh
# Facts of the EC2 instances that are hosts of nested guests: aws.sh > FILE.new && mv FILE.new FILE      (needs the aws client and jq)
set -eu
aws ec2 describe-network-interfaces --output json | jq '{platform: "cloud", swports: [.NetworkInterfaces[] | {
	device: .NetworkInterfaceId, port: .NetworkInterfaceId, peer: .MacAddress, bound_said: "yes", bound: [.MacAddress],
	state: (if .Status == "in-use" then "up" else "down" end), src_dst_check: (if .SourceDestCheck then "yes" else "no" end)}]}'
