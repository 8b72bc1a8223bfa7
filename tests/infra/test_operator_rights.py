"""The operator's policy of docs/ allows what the program makes and unmakes, and its names are the program's."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "operator-policy.json").read_text())
# What making, and what unmaking, a resource of each type calls (Terraform AWS provider 5.100, as rehearsed).
ACTIONS: dict[str, tuple[str, ...]] = {
    "aws:batch/computeEnvironment:ComputeEnvironment": (
        *("batch:CreateComputeEnvironment", "batch:UpdateComputeEnvironment", "batch:DeleteComputeEnvironment"),
        *("batch:TagResource", "iam:PassRole"),
    ),
    "aws:batch/jobDefinition:JobDefinition": (
        "batch:RegisterJobDefinition",
        "batch:DeregisterJobDefinition",
        "iam:PassRole",
    ),
    "aws:batch/jobQueue:JobQueue": (
        *("batch:CreateJobQueue", "batch:UpdateJobQueue", "batch:DeleteJobQueue"),
        "batch:ListJobs",  # the guard's
    ),
    "aws:budgets/budget:Budget": ("budgets:ModifyBudget",),
    "aws:budgets/budgetAction:BudgetAction": (
        "budgets:CreateBudgetAction",
        "budgets:DeleteBudgetAction",
        "iam:PassRole",
    ),
    "aws:cfg/deliveryChannel:DeliveryChannel": ("config:PutDeliveryChannel", "config:DeleteDeliveryChannel"),
    "aws:cfg/recorder:Recorder": (
        "config:PutConfigurationRecorder",
        "config:DeleteConfigurationRecorder",
        "iam:PassRole",
    ),
    "aws:cfg/recorderStatus:RecorderStatus": ("config:StartConfigurationRecorder", "config:StopConfigurationRecorder"),
    "aws:cfg/rule:Rule": ("config:PutConfigRule", "config:DeleteConfigRule"),
    "aws:cloudtrail/trail:Trail": ("cloudtrail:CreateTrail", "cloudtrail:StartLogging", "cloudtrail:DeleteTrail"),
    "aws:cloudwatch/dashboard:Dashboard": ("cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"),
    "aws:cloudwatch/eventRule:EventRule": ("events:PutRule", "events:DeleteRule"),
    "aws:cloudwatch/eventTarget:EventTarget": ("events:PutTargets", "events:RemoveTargets"),
    "aws:cloudwatch/logGroup:LogGroup": ("logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:DeleteLogGroup"),
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": ("logs:PutMetricFilter", "logs:DeleteMetricFilter"),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": ("logs:PutResourcePolicy", "logs:DeleteResourcePolicy"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"),
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": (
        "ec2:RevokeSecurityGroupIngress",
        "ec2:RevokeSecurityGroupEgress",
    ),
    "aws:ec2/eip:Eip": ("ec2:AllocateAddress", "ec2:ReleaseAddress"),
    "aws:ec2/flowLog:FlowLog": ("ec2:CreateFlowLogs", "ec2:DeleteFlowLogs", "logs:CreateLogDelivery", "iam:PassRole"),
    "aws:ec2/internetGateway:InternetGateway": ("ec2:CreateInternetGateway", "ec2:AttachInternetGateway"),
    "aws:ec2/launchTemplate:LaunchTemplate": ("ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate"),
    "aws:ec2/natGateway:NatGateway": ("ec2:CreateNatGateway", "ec2:DeleteNatGateway"),
    "aws:ec2/placementGroup:PlacementGroup": ("ec2:CreatePlacementGroup", "ec2:DeletePlacementGroup"),
    "aws:ec2/route:Route": ("ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"),
    "aws:ec2/routeTable:RouteTable": ("ec2:CreateRouteTable", "ec2:DeleteRouteTable"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": ("ec2:AssociateRouteTable", "ec2:DisassociateRouteTable"),
    "aws:ec2/securityGroup:SecurityGroup": ("ec2:CreateSecurityGroup", "ec2:DeleteSecurityGroup"),
    "aws:ec2/subnet:Subnet": ("ec2:CreateSubnet", "ec2:ModifySubnetAttribute", "ec2:DeleteSubnet"),
    "aws:ec2/vpc:Vpc": ("ec2:CreateVpc", "ec2:ModifyVpcAttribute", "ec2:CreateTags", "ec2:DeleteVpc"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": ("ec2:CreateVpcEndpoint", "ec2:ModifyVpcEndpoint", "ec2:DeleteVpcEndpoints"),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": ("ecr:PutLifecyclePolicy", "ecr:DeleteLifecyclePolicy"),
    "aws:ecr/repository:Repository": ("ecr:CreateRepository", "ecr:TagResource", "ecr:DeleteRepository"),
    "aws:efs/accessPoint:AccessPoint": ("elasticfilesystem:CreateAccessPoint", "elasticfilesystem:DeleteAccessPoint"),
    "aws:efs/backupPolicy:BackupPolicy": ("elasticfilesystem:PutBackupPolicy",),
    "aws:efs/fileSystem:FileSystem": ("elasticfilesystem:CreateFileSystem", "elasticfilesystem:UpdateFileSystem"),
    "aws:efs/fileSystemPolicy:FileSystemPolicy": ("elasticfilesystem:PutFileSystemPolicy",),
    "aws:efs/mountTarget:MountTarget": ("elasticfilesystem:CreateMountTarget", "elasticfilesystem:DeleteMountTarget"),
    "aws:fsx/dataRepositoryAssociation:DataRepositoryAssociation": ("fsx:CreateDataRepositoryAssociation",),
    "aws:fsx/lustreFileSystem:LustreFileSystem": ("fsx:CreateFileSystem", "fsx:DeleteFileSystem", "fsx:TagResource"),
    "aws:iam/instanceProfile:InstanceProfile": ("iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile"),
    "aws:iam/policy:Policy": ("iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy"),
    "aws:iam/role:Role": ("iam:CreateRole", "iam:TagRole", "iam:DeleteRole"),
    "aws:iam/rolePolicy:RolePolicy": ("iam:PutRolePolicy", "iam:DeleteRolePolicy"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ("iam:AttachRolePolicy", "iam:DetachRolePolicy"),
    "aws:lambda/function:Function": (
        *("lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"),
        *("lambda:DeleteFunction", "lambda:TagResource", "lambda:GetFunction"),
    ),
    "aws:lambda/permission:Permission": ("lambda:AddPermission", "lambda:RemovePermission", "lambda:GetPolicy"),
    "aws:s3/bucket:Bucket": ("s3:CreateBucket", "s3:PutBucketTagging", "s3:DeleteBucket", "s3:DeleteObjectVersion"),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "aws:s3/bucketPolicy:BucketPolicy": ("s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "s3:PutEncryptionConfiguration",
    ),
    "aws:s3/bucketVersioning:BucketVersioning": ("s3:PutBucketVersioning",),
    "aws:scheduler/scheduleGroup:ScheduleGroup": ("scheduler:CreateScheduleGroup", "scheduler:DeleteScheduleGroup"),
    "aws:secretsmanager/secret:Secret": ("secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"),
    "aws:secretsmanager/secretVersion:SecretVersion": (
        "secretsmanager:PutSecretValue",
        "secretsmanager:GetSecretValue",
    ),
    "aws:sns/topic:Topic": ("sns:CreateTopic", "sns:SetTopicAttributes", "sns:DeleteTopic"),
    "aws:sns/topicPolicy:TopicPolicy": ("sns:SetTopicAttributes",),
    "aws:sns/topicSubscription:TopicSubscription": ("sns:Subscribe", "sns:Unsubscribe"),
    "aws:ssm/parameter:Parameter": ("ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DeleteParameter"),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": ("ec2:AuthorizeSecurityGroupEgress",),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ("ec2:AuthorizeSecurityGroupIngress",),
    "docker:index/image:Image": ("ecr:GetAuthorizationToken", "ecr:PutImage", "ecr:UploadLayerPart"),
}
# ARNs under the names that the program gives, for the statements that name resources.
ARN_OF = {
    "aws:budgets/budget:Budget": "arn:aws:budgets::1:budget/{name}",
    "aws:cloudtrail/trail:Trail": "arn:aws:cloudtrail:r:1:trail/{name}",
    "aws:cloudwatch/eventRule:EventRule": "arn:aws:events:r:1:rule/{name}",
    "aws:cloudwatch/logGroup:LogGroup": "arn:aws:logs:r:1:log-group:{name}",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "arn:aws:cloudwatch:r:1:alarm:{name}",
    "aws:ecr/repository:Repository": "arn:aws:ecr:r:1:repository/{name}",
    "aws:iam/instanceProfile:InstanceProfile": "arn:aws:iam::1:instance-profile/{name}",
    "aws:iam/policy:Policy": "arn:aws:iam::1:policy/{name}",
    "aws:iam/role:Role": "arn:aws:iam::1:role/{name}",
    "aws:lambda/function:Function": "arn:aws:lambda:r:1:function:{name}",
    "aws:s3/bucket:Bucket": "arn:aws:s3:::{name}",
    "aws:scheduler/scheduleGroup:ScheduleGroup": "arn:aws:scheduler:r:1:schedule-group/{name}",
    "aws:secretsmanager/secret:Secret": "arn:aws:secretsmanager:r:1:secret:{name}",
    "aws:sns/topic:Topic": "arn:aws:sns:r:1:{name}",
    "aws:ssm/parameter:Parameter": "arn:aws:ssm:r:1:parameter{name}",
}


def resources_for(action: str) -> list[str]:
    """The resources on which the policy allows an action."""
    found: list[str] = []
    for statement in DOCUMENT["Statement"]:
        if any(fnmatchcase(action, pattern) for pattern in statement["Action"]):
            named = statement["Resource"]
            found += named if isinstance(named, list) else [named]
    return found


@pytest.mark.parametrize("kind", ACTIONS)
def test_what_is_made_may_be_made_and_unmade(kind: str) -> None:
    assert [action for action in ACTIONS[kind] if not resources_for(action)] == []


def test_every_type_of_the_program_is_known_here(varied: Any) -> None:
    kinds = {r.type for r in varied.resources if r.type.startswith(("aws:", "docker:"))}
    assert kinds - set(ACTIONS) == set()


def test_the_policys_names_are_the_programs(varied: Any) -> None:
    for r in varied.resources:
        if r.type in ARN_OF:
            arn = ARN_OF[r.type].format(name=r.inputs.get("name") or f"{r.name}-0000000")
            for action in ACTIONS[r.type]:
                assert any(fnmatchcase(arn, pattern) for pattern in resources_for(action)), (action, arn)


def test_roles_are_made_and_passed_under_our_name_alone() -> None:
    for action in ("iam:CreateRole", "iam:PassRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"):
        assert all(":role/tutti-" in arn or "/tutti-" in arn for arn in resources_for(action))


def test_it_fits_a_roles_inline_policies() -> None:
    """10,240 characters without white space (IAM quotas)."""
    assert len(json.dumps(DOCUMENT, separators=(",", ":"))) < 10_240


def test_nothing_is_allowed_whole() -> None:
    assert [a for s in DOCUMENT["Statement"] for a in s["Action"] if a == "*" or a.endswith(":*")] == []
